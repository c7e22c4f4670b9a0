"""Results as JSON documents, for the command line and for servers (no promise of stability)."""
