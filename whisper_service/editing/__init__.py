"""What people change in a transcript: lines, operations on them, the times of edited words. Pure."""
