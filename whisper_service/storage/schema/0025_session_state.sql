-- Where a live session can be followed again: bytes that only the live actor reads (actors/media/growing.py).
CREATE TABLE session_state (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    state  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
