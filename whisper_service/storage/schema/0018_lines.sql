-- What people made of a transcript. Segments stay as the model wrote them. A line stands for the segment with its number,
-- if there is one, which then is not shown. Lines that people wrote have numbers from 2048 on.
CREATE TABLE line (
    job_id   TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    chunk    INTEGER NOT NULL,
    "index"  INTEGER NOT NULL CHECK ("index" BETWEEN 0 AND 4095),
    id       TEXT    NOT NULL,
    version  INTEGER NOT NULL CHECK (version >= 0),
    content  INTEGER NOT NULL CHECK (content BETWEEN 0 AND version),
    position REAL    NOT NULL,
    start    REAL    NOT NULL,
    "end"    REAL    NOT NULL CHECK ("end" > start),
    text     TEXT    NOT NULL,
    words    TEXT    NOT NULL CHECK (json_type(words) = 'array'),
    language TEXT,
    speaker  TEXT,
    held     INTEGER NOT NULL CHECK (held IN (0, 1)),
    checked  INTEGER NOT NULL CHECK (checked IN (0, 1)),
    source   TEXT    NOT NULL,
    deleted  INTEGER NOT NULL CHECK (deleted IN (0, 1)),  -- nothing is shown in its place
    PRIMARY KEY (job_id, chunk, "index"),
    UNIQUE (job_id, id)
) STRICT, WITHOUT ROWID;

-- The log of edits. Rows are never changed.
CREATE TABLE edit (
    job_id     TEXT    NOT NULL REFERENCES job ON DELETE CASCADE,
    number     INTEGER NOT NULL CHECK (number > 0),  -- 1, 2, 3 ... of this job
    batch      TEXT    NOT NULL,  -- made by the client: sent twice, it is one edit
    at         REAL    NOT NULL,
    client     TEXT    NOT NULL,
    author     TEXT    NOT NULL,
    operations TEXT    NOT NULL CHECK (json_type(operations) = 'array'),
    inverse    TEXT    NOT NULL CHECK (json_type(inverse) = 'array'),
    result     BLOB    NOT NULL,  -- the payload of its change
    undoes     INTEGER,           -- the number of the edit that it takes back
    PRIMARY KEY (job_id, number),
    UNIQUE (job_id, batch)
) STRICT, WITHOUT ROWID;

ALTER TABLE job ADD COLUMN edits INTEGER NOT NULL DEFAULT 0;  -- the number of its newest edit

-- The search index has what is shown: the line instead of the segment with its number.
CREATE TRIGGER line_is_written AFTER INSERT ON line BEGIN
    INSERT INTO trigram (trigram, rowid, text)
        SELECT 'delete', (number << 32) + ((new.chunk + 1) << 12) + new."index", text FROM document JOIN segment USING (job_id)
        WHERE job_id = new.job_id AND chunk = new.chunk AND "index" = new."index";
    INSERT INTO gram (gram, rowid, text)
        SELECT 'delete', (number << 32) + ((new.chunk + 1) << 12) + new."index", grams(text) FROM document JOIN segment USING (job_id)
        WHERE job_id = new.job_id AND chunk = new.chunk AND "index" = new."index";
    INSERT INTO trigram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", new.text FROM document
        WHERE job_id = new.job_id AND NOT new.deleted;
    INSERT INTO gram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", grams(new.text) FROM document
        WHERE job_id = new.job_id AND NOT new.deleted;
END;

CREATE TRIGGER line_is_changed AFTER UPDATE ON line WHEN new.text <> old.text OR new.deleted <> old.deleted BEGIN
    INSERT INTO trigram (trigram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", old.text FROM document
        WHERE job_id = old.job_id AND NOT old.deleted;
    INSERT INTO gram (gram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", grams(old.text) FROM document
        WHERE job_id = old.job_id AND NOT old.deleted;
    INSERT INTO trigram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", new.text FROM document
        WHERE job_id = new.job_id AND NOT new.deleted;
    INSERT INTO gram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", grams(new.text) FROM document
        WHERE job_id = new.job_id AND NOT new.deleted;
END;

-- Only before the segments of its job are deleted, so the index gets the text of the segment back.
CREATE TRIGGER line_is_deleted AFTER DELETE ON line BEGIN
    INSERT INTO trigram (trigram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", old.text FROM document
        WHERE job_id = old.job_id AND NOT old.deleted;
    INSERT INTO gram (gram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", grams(old.text) FROM document
        WHERE job_id = old.job_id AND NOT old.deleted;
    INSERT INTO trigram (rowid, text)
        SELECT (number << 32) + ((old.chunk + 1) << 12) + old."index", text FROM document JOIN segment USING (job_id)
        WHERE job_id = old.job_id AND chunk = old.chunk AND "index" = old."index";
    INSERT INTO gram (rowid, text)
        SELECT (number << 32) + ((old.chunk + 1) << 12) + old."index", grams(text) FROM document JOIN segment USING (job_id)
        WHERE job_id = old.job_id AND chunk = old.chunk AND "index" = old."index";
END;

DROP TRIGGER job_is_deleted;
-- BEFORE: the rowids of its lines and segments need its number, which is deleted with it.
CREATE TRIGGER job_is_deleted BEFORE DELETE ON job BEGIN
    DELETE FROM line WHERE job_id = old.id;
    DELETE FROM segment WHERE job_id = old.id;
    INSERT INTO trigram (trigram, rowid, text) SELECT 'delete', number << 32, old.name FROM document WHERE job_id = old.id;
    INSERT INTO gram (gram, rowid, text) SELECT 'delete', number << 32, grams(old.name) FROM document WHERE job_id = old.id;
END;
