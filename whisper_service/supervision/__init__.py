"""The life of child processes: start, watch, end, replace."""
