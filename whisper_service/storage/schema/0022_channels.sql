-- How many channels of a recording are recognised one by one, each as a speaker. 0: their mix is.
ALTER TABLE job ADD COLUMN channels INTEGER NOT NULL DEFAULT 0;
