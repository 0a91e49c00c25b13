-- The problem that a waiting job waits for.

ALTER TABLE job ADD COLUMN problem TEXT CHECK (json_type(problem) = 'object');
