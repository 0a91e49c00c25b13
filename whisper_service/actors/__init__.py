"""What runs in the children. Nothing outside this package imports it, except `actor.boot` by the supervisor."""
