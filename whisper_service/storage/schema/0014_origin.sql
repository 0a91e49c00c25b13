-- The link that the service fetches the recording from, and how much has come. NULL: a client sent the recording.

ALTER TABLE job ADD COLUMN origin TEXT CHECK (json_type(origin) = 'object');

CREATE INDEX job_to_fetch ON job (status, rank, id) WHERE origin IS NOT NULL AND sha256 = '';
