-- What a player gets of a recording: the recording as it was sent, or the listening copy beside it, of so many bytes.

ALTER TABLE job ADD COLUMN playable TEXT CHECK (playable IN ('recording', 'copy'));

ALTER TABLE job ADD COLUMN copy_bytes INTEGER NOT NULL DEFAULT 0;
