"""Weights: which there are, how they are chosen and converted."""
