-- The place of a job in the queue is the time it came, so that two that wait can change places. Negative ones are urgent.

UPDATE job SET rank = created_at WHERE rank = 0;
