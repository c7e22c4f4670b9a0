"""Pictures that the engine process holds: their bytes and what the encoder made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from .engine import Features


@dataclass
class HeldPicture:
    """One picture: its file, its size (height, width) and its features by kind."""

    encoded: bytes
    size: tuple[int, int]
    features: dict[str, Features] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory that it keeps."""
        return len(self.encoded) + sum(f.nbytes for f in self.features.values())


class HeldPictures:
    """Pictures by the SHA-256 of their file, bounded in bytes, the longest unused out first.

    The file is held beside the features, so that a digest serves every task of a model, also one
    whose encoder has not seen the picture yet.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[str, HeldPicture] = OrderedDict()
        self._bytes = 0
        self._added: list[str] = []
        self._dropped: list[str] = []

    def get(self, digest: str) -> HeldPicture | None:
        """The picture, which becomes the last used one."""
        with self._lock:
            found = self._held.get(digest)
            if found:
                self._held.move_to_end(digest)
            return found

    def put(self, digest: str, picture: HeldPicture) -> None:
        """Hold a picture, or count it anew after it got features."""
        with self._lock:
            known = digest in self._held
            self._held[digest] = picture
            self._held.move_to_end(digest)
            self._bytes = sum(p.nbytes for p in self._held.values())
            if not known:
                self._added.append(digest)
            while self._bytes > self._max_bytes and self._held:
                gone, old = self._held.popitem(last=False)
                self._bytes -= old.nbytes
                self._dropped.append(gone)

    def changes(self) -> dict[str, object]:
        """What was added and dropped since the last call, and what is held now."""
        with self._lock:
            told: dict[str, object] = {
                "added": self._added,
                "dropped": self._dropped,
                "held_bytes": self._bytes,
            }
            self._added, self._dropped = [], []
            return told
