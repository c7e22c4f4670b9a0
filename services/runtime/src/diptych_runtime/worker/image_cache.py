"""Pictures that the engine process holds: their bytes and what the encoder made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from ..engine.protocol import Features


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
        self._held: OrderedDict[str, tuple[HeldPicture, int]] = OrderedDict()
        self._bytes = 0
        self._changed: dict[str, bool] = {}

    def get(self, digest: str) -> HeldPicture | None:
        """The picture, which becomes the last used one."""
        with self._lock:
            found = self._held.get(digest)
            if found is None:
                return None
            self._held.move_to_end(digest)
            return found[0]

    def put(self, digest: str, picture: HeldPicture) -> None:
        """Hold a picture, or count it anew after it got features.

        One that is larger than all that may be held is not held, and drives no other out.
        """
        nbytes = picture.nbytes
        with self._lock:
            self._drop(digest)
            if nbytes > self._max_bytes:
                return
            self._held[digest] = picture, nbytes
            self._bytes += nbytes
            self._changed[digest] = True
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._held)))

    def _drop(self, digest: str) -> None:
        if digest in self._held:
            _, nbytes = self._held.pop(digest)
            self._bytes -= nbytes
            self._changed[digest] = False

    def changes(self) -> dict[str, object]:
        """What was added and dropped since the last call, and how many bytes are held now."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return {
                "added": [digest for digest, held in changed.items() if held],
                "dropped": [digest for digest, held in changed.items() if not held],
                "held_bytes": self._bytes,
            }
