-- Marks that people made in a transcript: bookmarks, highlights and notes. A place is behind so many characters of a line.
CREATE TABLE mark (
    job_id     TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    id         TEXT    NOT NULL,  -- made by the client
    kind       TEXT    NOT NULL CHECK (kind IN ('bookmark', 'highlight', 'note')),
    first_line TEXT    NOT NULL,
    first_at   INTEGER NOT NULL CHECK (first_at >= 0),
    last_line  TEXT    NOT NULL,
    last_at    INTEGER NOT NULL CHECK (last_at >= 0),
    colour     INTEGER NOT NULL CHECK (colour BETWEEN 1 AND 5),
    text       TEXT    NOT NULL,  -- of a note
    lost       TEXT    NOT NULL,  -- the words it was on, if they were deleted
    author     TEXT    NOT NULL,
    at         REAL    NOT NULL,
    PRIMARY KEY (job_id, id)
) STRICT, WITHOUT ROWID;
