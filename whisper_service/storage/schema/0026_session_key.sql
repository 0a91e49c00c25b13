-- The key with which a client began a live session, and what it asked for (SHA-256): a repeated request finds its job.
CREATE TABLE session_key (
    key     TEXT NOT NULL PRIMARY KEY,
    job_id  TEXT NOT NULL REFERENCES job ON DELETE CASCADE,
    request TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_key_by_job ON session_key (job_id);
