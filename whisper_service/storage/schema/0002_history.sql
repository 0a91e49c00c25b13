-- What happened to a job on its way, and how often a chunk was in the hands of a child that was killed from outside.

ALTER TABLE job ADD COLUMN history TEXT NOT NULL DEFAULT '[]' CHECK (json_type(history) = 'array');
ALTER TABLE chunk ADD COLUMN kills INTEGER NOT NULL DEFAULT 0 CHECK (kills >= 0);
