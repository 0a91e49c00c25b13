"""The messages between the service and its actors: a module for each kind of actor."""
