"""Everything on disk: the database, the files of jobs, and the feed of changes."""
