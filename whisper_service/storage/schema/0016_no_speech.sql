-- Whether a completed job found that nobody speaks in the recording. The store counts it like the chunks.

ALTER TABLE job ADD COLUMN no_speech INTEGER NOT NULL DEFAULT 0 CHECK (no_speech IN (0, 1));

UPDATE job SET no_speech = 1
WHERE status = 'completed' AND gaps = '[]'
  AND NOT EXISTS (SELECT 1 FROM segment WHERE job_id = job.id)
  AND NOT (json_extract(options, '$.task') IS 'detect' AND language IS NOT NULL);
