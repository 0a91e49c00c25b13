-- What keeps a job from going on, while it waits for that to be put right.

ALTER TABLE job ADD COLUMN problem TEXT CHECK (json_type(problem) = 'object');
