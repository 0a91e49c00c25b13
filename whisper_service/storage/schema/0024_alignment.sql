-- Chunks in which people wrote words. The service finds out when long runs of these are said.
CREATE TABLE alignment (
    job_id    TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    chunk     INTEGER NOT NULL,
    edited_at REAL,                         -- the last edit that wrote such words; NULL: nothing is left to do
    tried     TEXT    NOT NULL DEFAULT '[]' CHECK (json_type(tried) = 'array'),  -- keys of runs that stay as they are
    failures  INTEGER NOT NULL DEFAULT 0,   -- of actors, since that edit
    PRIMARY KEY (job_id, chunk)
) STRICT, WITHOUT ROWID;
CREATE INDEX alignment_due ON alignment (edited_at) WHERE edited_at IS NOT NULL;
INSERT INTO alignment (job_id, chunk, edited_at)
    SELECT DISTINCT job_id, chunk, 0 FROM line WHERE NOT deleted AND instr(words, '"by":"spread"');
