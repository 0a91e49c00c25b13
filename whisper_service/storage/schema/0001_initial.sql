-- Jobs, their chunks and segments, and the change log.
-- A column has the name of the field in core/domain.py. Values that no SQL reads are JSON.

CREATE TABLE job (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    -- core/job_states.py says which status may follow which.
    status      TEXT    NOT NULL CHECK (status IN ('pending', 'processing', 'paused', 'completed', 'failed', 'cancelled')),
    options     TEXT    NOT NULL CHECK (json_valid(options)),
    created_at  REAL    NOT NULL,
    bytes       INTEGER NOT NULL CHECK (bytes >= 0),
    sha256      TEXT    NOT NULL,
    phase       TEXT    CHECK (phase IN ('downloading_model', 'loading_model', 'decoding', 'transcribing', 'finalizing')),
    progress    REAL    NOT NULL CHECK (progress BETWEEN 0 AND 1),
    message     TEXT    NOT NULL,
    duration_s  REAL,
    position_s  REAL    NOT NULL,
    speed       REAL,
    eta_s       REAL,
    language    TEXT,
    model       TEXT,
    chunks_done INTEGER NOT NULL CHECK (chunks_done >= 0),
    chunks_total INTEGER NOT NULL,
    decoded     INTEGER NOT NULL CHECK (decoded IN (0, 1)),
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),
    rank        REAL    NOT NULL,
    gaps        TEXT    NOT NULL CHECK (json_type(gaps) = 'array'),
    error       TEXT    CHECK (json_type(error) = 'object'),
    started_at  REAL,
    finished_at REAL,
    CHECK (chunks_done <= chunks_total),
    CHECK (phase IS NULL OR status = 'processing')
) STRICT;

CREATE INDEX job_by_turn ON job (status, rank, id);
CREATE INDEX job_by_content ON job (sha256, id);

CREATE TABLE chunk (
    job_id       TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    "index"      INTEGER NOT NULL CHECK ("index" >= 0),
    start_sample INTEGER NOT NULL CHECK (start_sample >= 0),
    samples      INTEGER NOT NULL CHECK (samples > 0),
    start        REAL    NOT NULL,
    "end"        REAL    NOT NULL,
    -- waiting -> done | failed. A retry of the job makes failed chunks wait again.
    state        TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    language     TEXT,
    error        TEXT    CHECK (json_type(error) = 'object'),
    PRIMARY KEY (job_id, "index"),
    CHECK ((state = 'failed') = (error IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_by_state ON chunk (job_id, state);

CREATE TABLE segment (
    id                INTEGER PRIMARY KEY,  -- never changes, so that a full-text index can refer to it
    job_id            TEXT    NOT NULL,
    chunk             INTEGER NOT NULL,
    "index"           INTEGER NOT NULL CHECK ("index" >= 0),
    start             REAL    NOT NULL,
    "end"             REAL    NOT NULL,
    text              TEXT    NOT NULL,
    words             TEXT    NOT NULL CHECK (json_type(words) = 'array'),
    language          TEXT,
    avg_logprob       REAL,
    no_speech_prob    REAL,
    compression_ratio REAL,
    speaker           TEXT,
    UNIQUE (job_id, chunk, "index"),
    FOREIGN KEY (job_id, chunk) REFERENCES chunk ON DELETE CASCADE
) STRICT;

-- AUTOINCREMENT: no seq is given twice, not even after the newest rows were deleted.
CREATE TABLE change (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id  TEXT NOT NULL,  -- no reference, because the last change of a job says that it was deleted
    kind    TEXT NOT NULL,
    payload BLOB NOT NULL   -- the bytes that were published
) STRICT;

CREATE INDEX change_by_job ON change (job_id, seq);

-- The seq up to which the log was pruned.
CREATE TABLE pruned (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO pruned VALUES (1, 0);
