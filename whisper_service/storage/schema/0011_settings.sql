-- Settings that were changed while the service ran (config/active.py). `key`: a dotted name of config.toml. `value`: JSON.

CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;
