-- The audio tracks of a recording that has several, as its file describes them.

ALTER TABLE job ADD COLUMN tracks TEXT NOT NULL DEFAULT '[]' CHECK (json_type(tracks) = 'array');
