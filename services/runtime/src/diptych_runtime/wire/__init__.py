"""Checks of messages, and the model card as a message."""
