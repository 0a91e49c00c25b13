-- Full-text search in the names and transcripts of jobs. Two indexes without a copy of the text: trigrams for terms of three
-- characters and more, single characters and pairs (storage/search_terms.py) for shorter ones.
--
-- A rowid is the number of the job << 32 for its name, and + ((chunk + 1) << 12) + index for a segment. So all finds of one
-- job lie side by side, and the newest jobs come first in falling order. storage/browse.py has an example.

CREATE TABLE document (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT    NOT NULL UNIQUE REFERENCES job ON DELETE CASCADE
) STRICT;

CREATE VIRTUAL TABLE trigram USING fts5 (text, content = '', tokenize = 'trigram');
CREATE VIRTUAL TABLE gram USING fts5 (text, content = '', detail = 'none', tokenize = 'ascii');

CREATE TRIGGER job_is_named AFTER INSERT ON job BEGIN
    INSERT INTO document (job_id) VALUES (new.id);
    INSERT INTO trigram (rowid, text) SELECT number << 32, new.name FROM document WHERE job_id = new.id;
    INSERT INTO gram (rowid, text) SELECT number << 32, grams(new.name) FROM document WHERE job_id = new.id;
END;

CREATE TRIGGER job_is_renamed AFTER UPDATE OF name ON job WHEN new.name <> old.name BEGIN
    INSERT INTO trigram (trigram, rowid, text) SELECT 'delete', number << 32, old.name FROM document WHERE job_id = new.id;
    INSERT INTO gram (gram, rowid, text) SELECT 'delete', number << 32, grams(old.name) FROM document WHERE job_id = new.id;
    INSERT INTO trigram (rowid, text) SELECT number << 32, new.name FROM document WHERE job_id = new.id;
    INSERT INTO gram (rowid, text) SELECT number << 32, grams(new.name) FROM document WHERE job_id = new.id;
END;

-- BEFORE: the rowids of its segments need its number, which is deleted with it.
CREATE TRIGGER job_is_deleted BEFORE DELETE ON job BEGIN
    DELETE FROM segment WHERE job_id = old.id;
    INSERT INTO trigram (trigram, rowid, text) SELECT 'delete', number << 32, old.name FROM document WHERE job_id = old.id;
    INSERT INTO gram (gram, rowid, text) SELECT 'delete', number << 32, grams(old.name) FROM document WHERE job_id = old.id;
END;

CREATE TRIGGER segment_is_written AFTER INSERT ON segment WHEN new."index" < 4096 BEGIN
    INSERT INTO trigram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", new.text FROM document WHERE job_id = new.job_id;
    INSERT INTO gram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", grams(new.text) FROM document WHERE job_id = new.job_id;
END;

CREATE TRIGGER segment_is_deleted AFTER DELETE ON segment WHEN old."index" < 4096 BEGIN
    INSERT INTO trigram (trigram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", old.text FROM document WHERE job_id = old.job_id;
    INSERT INTO gram (gram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", grams(old.text) FROM document WHERE job_id = old.job_id;
END;

CREATE TRIGGER segment_is_changed AFTER UPDATE OF text ON segment WHEN new.text <> old.text AND new."index" < 4096 BEGIN
    INSERT INTO trigram (trigram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", old.text FROM document WHERE job_id = old.job_id;
    INSERT INTO gram (gram, rowid, text)
        SELECT 'delete', (number << 32) + ((old.chunk + 1) << 12) + old."index", grams(old.text) FROM document WHERE job_id = old.job_id;
    INSERT INTO trigram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", new.text FROM document WHERE job_id = new.job_id;
    INSERT INTO gram (rowid, text)
        SELECT (number << 32) + ((new.chunk + 1) << 12) + new."index", grams(new.text) FROM document WHERE job_id = new.job_id;
END;

-- Jobs from before this migration, which the triggers did not see.
INSERT INTO document (job_id) SELECT id FROM job ORDER BY id;
INSERT INTO trigram (rowid, text) SELECT number << 32, name FROM document JOIN job ON id = job_id ORDER BY number;
INSERT INTO gram (rowid, text) SELECT number << 32, grams(name) FROM document JOIN job ON id = job_id ORDER BY number;
INSERT INTO trigram (rowid, text)
    SELECT (number << 32) + ((chunk + 1) << 12) + "index", text FROM document JOIN segment USING (job_id)
    WHERE "index" < 4096 ORDER BY number, chunk, "index";
INSERT INTO gram (rowid, text)
    SELECT (number << 32) + ((chunk + 1) << 12) + "index", grams(text) FROM document JOIN segment USING (job_id)
    WHERE "index" < 4096 ORDER BY number, chunk, "index";

-- For lists of one status, the newest first.
CREATE INDEX job_by_status ON job (status, id);
