"""Pictures that passed by, so that a replica that lost one is sent it again."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

_THREAD_FROM_BYTES = 1024 * 1024  # hashing 1 MiB takes about 0.7 ms


class PictureCache:
    """Picture files by SHA-256 digest, bounded in bytes, the least recently used out first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, digest: bytes) -> bytes | None:
        """The file with this digest; ``None`` if it is not held (any more)."""
        picture = self._held.get(digest)
        if picture is None:
            self.misses += 1
        else:
            self.hits += 1
            self._held.move_to_end(digest)
        return picture

    async def put(self, picture: bytes | memoryview) -> None:
        """Hold a file; one that is larger than the whole cache is not held."""
        if not picture or len(picture) > self._max_bytes:
            return
        if len(picture) > _THREAD_FROM_BYTES:
            digest = await asyncio.to_thread(_sha256, picture)
        else:
            digest = _sha256(picture)
        if digest in self._held:
            self._held.move_to_end(digest)
            return
        self._held[digest] = bytes(picture)  # a view would keep all of its message
        self.nbytes += len(picture)
        while self.nbytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.nbytes -= len(oldest)


def _sha256(picture: bytes | memoryview) -> bytes:
    return hashlib.sha256(picture).digest()
