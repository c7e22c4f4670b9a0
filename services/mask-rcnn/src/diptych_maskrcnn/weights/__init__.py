"""Weights: which there are, how they are chosen, and what they load into."""
