"""What tests and benchmarks share: services with scripted actors, recordings, fake servers.

No part of the installed package.
"""
