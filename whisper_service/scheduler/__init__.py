"""The service loop: what happens, what follows from it, and the parts that carry it out."""
