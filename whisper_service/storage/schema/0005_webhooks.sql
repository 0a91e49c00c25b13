-- Webhook deliveries, and the change up to which the log was searched for ended jobs.

CREATE TABLE delivery (
    id         TEXT    NOT NULL PRIMARY KEY,
    job_id     TEXT    NOT NULL,  -- no reference, because a delivery is sent even if its job is deleted
    url        TEXT    NOT NULL,
    body       BLOB    NOT NULL,  -- empty after the delivery has ended
    created_at REAL    NOT NULL,
    due_at     REAL    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts   INTEGER NOT NULL CHECK (attempts >= 0),
    detail     TEXT    NOT NULL
) STRICT;

CREATE INDEX delivery_by_turn ON delivery (state, due_at);

CREATE TABLE webhook (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO webhook VALUES (1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0));
