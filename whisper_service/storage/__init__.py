"""What is on the disk: the database, the files of jobs, and the log of changes that everybody follows."""
