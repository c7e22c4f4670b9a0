"""Compute figures from truths and answers; no network, no files."""
