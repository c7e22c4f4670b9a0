"""Cameras and other streams that go on whether somebody looks or not."""
