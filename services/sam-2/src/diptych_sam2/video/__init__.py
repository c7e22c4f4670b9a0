"""SAM 2 through a live stream."""
