-- A deleted job stays for a while, so that it can be had back: out of sight, out of the queue, with all its files.
-- What looks for jobs looks into `kept`.

ALTER TABLE job ADD COLUMN deleted_at REAL;

CREATE VIEW kept AS SELECT * FROM job WHERE deleted_at IS NULL;

DROP INDEX job_by_status;
CREATE INDEX job_by_status ON job (status, deleted_at, id);
CREATE INDEX job_in_trash ON job (deleted_at) WHERE deleted_at IS NOT NULL;
