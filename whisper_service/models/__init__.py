"""Which models there are, where they come from, and which of them suit this machine."""
