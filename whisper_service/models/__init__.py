"""Models: the known ones, the installed ones, and how well they suit this machine."""
