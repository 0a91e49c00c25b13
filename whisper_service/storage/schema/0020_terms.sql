-- The vocabulary: words and names that recordings are about.
CREATE TABLE term (
    id       INTEGER PRIMARY KEY,
    term     TEXT    NOT NULL,
    heard    TEXT    NOT NULL CHECK (json_type(heard) = 'array'),  -- what the model writes instead
    language TEXT,                                                 -- NULL: any
    hint     INTEGER NOT NULL CHECK (hint IN (0, 1)),              -- the model is told to expect it
    "replace" INTEGER NOT NULL CHECK ("replace" IN (0, 1)),        -- what was heard instead is corrected when a job ends
    uses     INTEGER NOT NULL CHECK (uses >= 0)
) STRICT;
CREATE UNIQUE INDEX term_in_language ON term (term, coalesce(language, ''));

-- What the model is told of the vocabulary, by language. Decided when the job is made, so that its text does not depend
-- on when it is made.
ALTER TABLE job ADD COLUMN hints TEXT NOT NULL DEFAULT '{}';

ALTER TABLE edit ADD COLUMN kind TEXT NOT NULL DEFAULT 'edit';  -- edit, undo, restore, replace, vocabulary
ALTER TABLE edit ADD COLUMN "group" TEXT;  -- edits of several jobs that were one act
UPDATE edit SET kind = 'undo' WHERE undoes IS NOT NULL;
CREATE INDEX edit_of_group ON edit ("group", job_id, number) WHERE "group" IS NOT NULL;
