"""Pictures that passed by, so that a replica that lost one is sent it again."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

_THREAD_FROM_BYTES = 64 * 1024
_MUCH_BYTES = 4 * 1024
_DIGEST_BYTES = 32


class PictureCache:
    """Picture files by SHA-256 digest, bounded in bytes, the least recently used out first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, bytes | memoryview] = OrderedDict()
        self._checked: set[bytes] = set()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._held)

    async def get(self, digest: bytes) -> bytes | None:
        """The file with this digest; ``None`` if it is not held (any more)."""
        held = self._held.get(digest)
        if held is not None and digest not in self._checked:
            if await _sha256(held) == digest:
                self._checked.add(digest)
            else:
                self._drop(digest)
                held = None
        if held is None:
            self.misses += 1
            return None
        self.hits += 1
        if digest in self._held:
            self._held.move_to_end(digest)
        return bytes(held)

    async def put(self, picture: bytes | memoryview, said: bytes = b"") -> None:
        """Hold a file; one that is larger than the whole cache is not held.

        ``said`` is the digest by a model's reply. It is checked when the file is asked for: few of
        the files ever are, and hashing each took a third of what the gateway adds. A model that
        says a wrong one gets nobody a wrong picture.
        """
        if not picture or len(picture) > self._max_bytes:
            return
        digest = said if len(said) == _DIGEST_BYTES else await _sha256(picture)
        if digest in self._held:
            self._held.move_to_end(digest)
            return
        self._held[digest] = _without_much_else(picture)
        self.nbytes += len(picture)
        while self.nbytes > self._max_bytes:
            self._drop(next(iter(self._held)))

    def _drop(self, digest: bytes) -> None:
        picture = self._held.pop(digest, b"")
        self._checked.discard(digest)
        self.nbytes -= len(picture)


def _without_much_else(picture: bytes | memoryview) -> bytes | memoryview:
    """A view keeps all of the message that it looks into, of which the file is most as a rule."""
    if isinstance(picture, memoryview):
        with memoryview(picture.obj) as whole:
            if whole.nbytes - picture.nbytes > _MUCH_BYTES:
                return bytes(picture)
    return picture


async def _sha256(picture: bytes | memoryview) -> bytes:
    if len(picture) > _THREAD_FROM_BYTES:
        return await asyncio.to_thread(lambda: hashlib.sha256(picture).digest())
    return hashlib.sha256(picture).digest()
