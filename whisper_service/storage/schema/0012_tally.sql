-- The number of jobs of each status. Triggers keep it, so that no query counts all jobs.

CREATE TABLE tally (
    status TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO tally SELECT status, count(*) FROM kept GROUP BY status;

CREATE TRIGGER tally_of_new AFTER INSERT ON job WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO tally VALUES (new.status, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER tally_of_gone AFTER DELETE ON job WHEN old.deleted_at IS NULL
BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE status = old.status;
END;

CREATE TRIGGER tally_of_changed AFTER UPDATE OF status, deleted_at ON job
WHEN (new.status, new.deleted_at IS NULL) IS NOT (old.status, old.deleted_at IS NULL)
BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE old.deleted_at IS NULL AND status = old.status;
    INSERT INTO tally SELECT new.status, 1 WHERE new.deleted_at IS NULL ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;
