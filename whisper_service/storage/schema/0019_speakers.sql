-- Who speaks. Voices and directions (centroid) are biometric: they never leave the database.
CREATE TABLE voice (
    job_id TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    chunk  INTEGER NOT NULL,
    data   BLOB,  -- what the actor heard in the chunk; NULL: it was given up
    PRIMARY KEY (job_id, chunk)
) STRICT;

CREATE TABLE speaker (
    job_id      TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    id          TEXT    NOT NULL,
    name        TEXT    NOT NULL DEFAULT '',
    position    INTEGER NOT NULL,
    colour      INTEGER NOT NULL CHECK (colour BETWEEN 0 AND 7),
    merged_into TEXT CHECK (merged_into <> id),
    seconds     REAL    NOT NULL DEFAULT 0,
    found       INTEGER NOT NULL CHECK (found IN (0, 1)),  -- by the voice; 0: a person made it
    centroid    BLOB,  -- the mean direction of the voice; NULL: a person made it, or the voices were deleted
    PRIMARY KEY (job_id, id)
) STRICT;

CREATE TABLE speaker_timeline (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    turns  TEXT NOT NULL CHECK (json_type(turns) = 'array'),   -- [[start in seconds, id of the speaker or null], ...]
    wanted TEXT NOT NULL CHECK (json_type(wanted) = 'object')  -- {"least", "most"}
) STRICT;

-- One phase more. The check of a column cannot be changed, so the phase moves into a new column.
ALTER TABLE job RENAME COLUMN phase TO former_phase;
ALTER TABLE job ADD COLUMN phase TEXT CHECK (
    phase IS NULL OR status = 'processing'
    AND phase IN ('downloading_model', 'loading_model', 'decoding', 'transcribing', 'speakers', 'finalizing')
);
UPDATE job SET phase = former_phase, former_phase = NULL WHERE former_phase IS NOT NULL;

ALTER TABLE job ADD COLUMN speakers INTEGER;  -- how many are told apart; NULL: nobody asked, or not yet known
ALTER TABLE job ADD COLUMN of TEXT;           -- the job whose recording it transcribes again

-- Until now a line had any text as its speaker. Each becomes a speaker with that name.
INSERT INTO speaker (job_id, id, name, position, colour, found)
    SELECT job_id, speaker, speaker, place, place % 8, 0 FROM (
        SELECT job_id, speaker, row_number() OVER (PARTITION BY job_id ORDER BY min(chunk), min(position), speaker) - 1 AS place
        FROM line WHERE speaker IS NOT NULL GROUP BY job_id, speaker
    );
