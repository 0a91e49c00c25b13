-- The fallback of a model on a device that had too little memory for the settings (core/fallback.py).

CREATE TABLE standing (
    device   TEXT NOT NULL,
    model    TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (json_type(standing) = 'object'),
    PRIMARY KEY (device, model)
) STRICT, WITHOUT ROWID;
