"""Many pictures: in order, as many at a time as the server takes, again where it had no room."""
