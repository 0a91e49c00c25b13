-- What was set while the service ran (see settings.py); `key` is a dotted name of config.toml, `value` JSON.

CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;
