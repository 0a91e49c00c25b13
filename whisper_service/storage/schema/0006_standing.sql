-- Where a model stands on a device whose memory did not suffice for what was wanted.

CREATE TABLE standing (
    device   TEXT NOT NULL,
    model    TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (json_type(standing) = 'object'),
    PRIMARY KEY (device, model)
) STRICT, WITHOUT ROWID;
