-- A deleted job stays in the trash for a while with all its files, so that it can be restored. It is in no list or queue.
-- Queries for jobs read `kept`.

ALTER TABLE job ADD COLUMN deleted_at REAL;

CREATE VIEW kept AS SELECT * FROM job WHERE deleted_at IS NULL;

DROP INDEX job_by_status;
CREATE INDEX job_by_status ON job (status, deleted_at, id);
CREATE INDEX job_in_trash ON job (deleted_at) WHERE deleted_at IS NOT NULL;
