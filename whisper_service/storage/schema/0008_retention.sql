-- Whether the recording of a job was removed. Its transcript is kept.

ALTER TABLE job ADD COLUMN media_removed INTEGER NOT NULL DEFAULT 0 CHECK (media_removed IN (0, 1));
