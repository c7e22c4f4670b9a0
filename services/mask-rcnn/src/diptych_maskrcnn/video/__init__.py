"""Mask R-CNN through a live stream."""
