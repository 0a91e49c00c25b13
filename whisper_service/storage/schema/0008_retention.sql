-- Whether the recording of a job was removed, which is no longer wanted but whose text is.

ALTER TABLE job ADD COLUMN media_removed INTEGER NOT NULL DEFAULT 0 CHECK (media_removed IN (0, 1));
