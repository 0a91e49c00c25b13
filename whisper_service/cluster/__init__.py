"""Actors on other machines: the gateway to a cluster of Ray, and what it starts on each machine."""
