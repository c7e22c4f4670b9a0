"""Clips that the client holds, followed from end to end."""
