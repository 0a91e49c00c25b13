-- What happened to a job in work, and how often an actor was killed from outside while it worked on a chunk.

ALTER TABLE job ADD COLUMN history TEXT NOT NULL DEFAULT '[]' CHECK (json_type(history) = 'array');
ALTER TABLE chunk ADD COLUMN kills INTEGER NOT NULL DEFAULT 0 CHECK (kills >= 0);
