"""Images that the engine process holds: their bytes and what the encoder made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from ..engine.protocol import Features


@dataclass
class CachedImage:
    """One image: its file, its size (height, width) and its features by kind."""

    encoded: bytes
    size: tuple[int, int]
    features: dict[str, Features] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory that it keeps."""
        return len(self.encoded) + sum(f.nbytes for f in self.features.values())


class ImageCache:
    """Images by the SHA-256 of their file, bounded in bytes, the longest unused out first.

    The file is held beside the features, so that a digest serves every task of a model, also one
    whose encoder has not seen the image yet.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._images: OrderedDict[str, tuple[CachedImage, int]] = OrderedDict()
        self._bytes = 0
        self._changed: dict[str, bool] = {}

    def get(self, digest: str) -> CachedImage | None:
        """Return an image, which becomes the last used one; ``None`` if it is not held."""
        with self._lock:
            found = self._images.get(digest)
            if found is None:
                return None
            self._images.move_to_end(digest)
            return found[0]

    def put(self, digest: str, image: CachedImage) -> None:
        """Hold an image, or count it anew after it got features.

        One that is larger than all that may be held is not held, and drives no other out.
        """
        nbytes = image.nbytes
        with self._lock:
            self._drop(digest)
            if nbytes > self._max_bytes:
                return
            self._images[digest] = image, nbytes
            self._bytes += nbytes
            self._changed[digest] = True
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._images)))

    def _drop(self, digest: str) -> None:
        if digest in self._images:
            _, nbytes = self._images.pop(digest)
            self._bytes -= nbytes
            self._changed[digest] = False

    def changes(self) -> dict[str, object]:
        """Return what was added and dropped since the last call, and the bytes held now."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return {
                "added": [digest for digest, held in changed.items() if held],
                "dropped": [digest for digest, held in changed.items() if not held],
                "held_bytes": self._bytes,
            }
