"""The network without state, as still pictures and videos use it."""
