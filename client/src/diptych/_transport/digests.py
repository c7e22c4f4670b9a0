"""Which pictures the server has been sent, so that a digest can stand for them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from .._images import EncodedImage

MIN_BYTES = 64 * 1024
"""Smaller pictures are sent again: the bytes cost less than a digest that is not held."""


class SentImages:
    """Digests of the pictures sent to one address, the oldest forgotten first.

    Safe to use from several threads. The server may have dropped any of them.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, image: EncodedImage) -> bool:
        """Whether the server was sent these bytes and is worth asking by digest."""
        if len(image.data) < MIN_BYTES:
            return False
        with self._lock:
            if image.sha256 not in self._digests:
                return False
            self._digests.move_to_end(image.sha256)
            return True

    def add(self, image: EncodedImage) -> None:
        """Notes that the server now holds these bytes."""
        if len(image.data) < MIN_BYTES:
            return
        with self._lock:
            self._digests[image.sha256] = None
            self._digests.move_to_end(image.sha256)
            while len(self._digests) > self._capacity:
                self._digests.popitem(last=False)

    def forget(self, image: EncodedImage) -> None:
        """Notes that the server does not hold these bytes any more."""
        with self._lock:
            self._digests.pop(image.sha256, None)
