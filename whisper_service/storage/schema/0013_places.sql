-- The rank of a job is the time when it came, so that two waiting jobs can change places. Negative ranks are urgent.

UPDATE job SET rank = created_at WHERE rank = 0;
