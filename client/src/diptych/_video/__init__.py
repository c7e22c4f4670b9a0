"""Video: sessions, their state, and clips as files."""
