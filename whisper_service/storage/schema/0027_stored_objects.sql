-- Recordings in object storage. `job.stored_as` NULL: the recording is on this machine, or there is none.
-- 'moving': bytes are on their way; 'stored': every byte was read back; 'unwanted': no job has it any more, it is to be
-- deleted there. A url is never used again.
CREATE TABLE stored_object (
    url    TEXT    NOT NULL PRIMARY KEY,
    bytes  INTEGER NOT NULL CHECK (bytes >= 0),
    sha256 TEXT    NOT NULL,
    state  TEXT    NOT NULL CHECK (state IN ('moving', 'stored', 'unwanted'))
) STRICT, WITHOUT ROWID;

CREATE INDEX stored_object_by_state ON stored_object (state) WHERE state <> 'stored';

ALTER TABLE job ADD COLUMN stored_as TEXT REFERENCES stored_object (url);

CREATE INDEX job_by_object ON job (stored_as) WHERE stored_as IS NOT NULL;
-- What may be moved: recordings of jobs that have ended.
CREATE INDEX job_to_move ON job (id)
    WHERE stored_as IS NULL AND NOT media_removed AND sha256 <> '' AND status IN ('completed', 'failed', 'cancelled');

-- Whoever deletes a job or its recording need not know where the recording is. Jobs may share an object.
CREATE TRIGGER media_removed_from_object AFTER UPDATE OF media_removed ON job
    WHEN NEW.media_removed AND NEW.stored_as IS NOT NULL
BEGIN
    UPDATE job SET stored_as = NULL WHERE id = NEW.id;
END;
-- A live session that goes on: its file is on this machine again, and grows.
CREATE TRIGGER recording_grows_again AFTER UPDATE OF sha256 ON job
    WHEN NEW.sha256 = '' AND NEW.stored_as IS NOT NULL
BEGIN
    UPDATE job SET stored_as = NULL WHERE id = NEW.id;
END;
CREATE TRIGGER job_leaves_object AFTER UPDATE OF stored_as ON job
    WHEN OLD.stored_as IS NOT NULL AND NEW.stored_as IS NOT OLD.stored_as
BEGIN
    UPDATE stored_object SET state = 'unwanted'
        WHERE url = OLD.stored_as AND NOT EXISTS (SELECT 1 FROM job WHERE stored_as = OLD.stored_as);
END;
CREATE TRIGGER job_with_object_deleted AFTER DELETE ON job
    WHEN OLD.stored_as IS NOT NULL
BEGIN
    UPDATE stored_object SET state = 'unwanted'
        WHERE url = OLD.stored_as AND NOT EXISTS (SELECT 1 FROM job WHERE stored_as = OLD.stored_as);
END;
