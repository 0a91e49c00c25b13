-- Where the service gets the recording of a job from, and how far it is; NULL: somebody sent it.

ALTER TABLE job ADD COLUMN origin TEXT CHECK (json_type(origin) = 'object');

CREATE INDEX job_to_fetch ON job (status, rank, id) WHERE origin IS NOT NULL AND sha256 = '';
