"""Start, watch, stop and replace the actors."""
