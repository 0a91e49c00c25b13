-- What is known of a live session, a recording that grows while it is transcribed. NULL: an ordinary recording.
ALTER TABLE job ADD COLUMN live TEXT CHECK (json_type(live) = 'object');

CREATE INDEX job_live ON job (id) WHERE live IS NOT NULL;
