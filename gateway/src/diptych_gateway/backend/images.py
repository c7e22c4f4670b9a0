"""The images that requests are about, and those that are kept to be sent again.

The file of an image is never copied into another message.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb

from ..request import parse

_THREAD_FROM_BYTES = 64 * 1024
_DIGEST_BYTES = 32
_MUCH_BYTES = 4 * 1024


class ImageCache:
    """Image files by SHA-256 digest, bounded in bytes, the least recently used out first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._files: OrderedDict[bytes, bytes | memoryview] = OrderedDict()
        self._checked: set[bytes] = set()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._files

    async def get(self, digest: bytes) -> bytes | None:
        """Return the file with this digest; ``None`` if it is not held (any more)."""
        file = self._files.get(digest)
        if file is not None and digest not in self._checked:
            if await _sha256(file) == digest:
                self._checked.add(digest)
            else:
                self._drop(digest)
                file = None
        if file is None:
            self.misses += 1
            return None
        self.hits += 1
        if digest in self._files:
            self._files.move_to_end(digest)
        return bytes(file)

    async def put(self, encoded: bytes | memoryview, claimed_digest: bytes = b"") -> None:
        """Hold a file; one that is larger than the whole cache is not held.

        ``claimed_digest`` is the digest by a model's reply. It is checked when the file is asked
        for: few of the files ever are, and hashing each took a third of what the gateway adds. A
        model that claims a wrong one gets nobody a wrong image.
        """
        if not encoded or len(encoded) > self._max_bytes:
            return
        claimed = len(claimed_digest) == _DIGEST_BYTES
        digest = claimed_digest if claimed else await _sha256(encoded)
        if digest in self._files:
            self._files.move_to_end(digest)
            return
        self._files[digest] = _alone(encoded)
        self.nbytes += len(encoded)
        while self.nbytes > self._max_bytes:
            self._drop(next(iter(self._files)))

    def _drop(self, digest: bytes) -> None:
        file = self._files.pop(digest, b"")
        self._checked.discard(digest)
        self.nbytes -= len(file)


def _alone(encoded: bytes | memoryview) -> bytes | memoryview:
    """Copy a file out of a message that is much larger: a view keeps all of it."""
    if isinstance(encoded, memoryview):
        with memoryview(encoded.obj) as message:
            if message.nbytes - encoded.nbytes > _MUCH_BYTES:
                return bytes(encoded)
    return encoded


async def _sha256(encoded: bytes | memoryview) -> bytes:
    if len(encoded) > _THREAD_FROM_BYTES:
        return await asyncio.to_thread(lambda: hashlib.sha256(encoded).digest())
    return hashlib.sha256(encoded).digest()


async def _image_digest(reply: bytes) -> bytes:
    """Read the digest of the image in a serialised ``SegmentResponse``; empty if it has none."""
    try:
        return (await parse(pb.SegmentResponse, reply)).image_sha256
    except DecodeError:
        return b""


class SentImage:
    """The image of one request: how it is named, and its file where that can be had.

    ``encoded`` is the file where the message does not hold it: a view of the request's bytes, or
    what the caller has at hand of an image that its request names by digest.
    """

    def __init__(
        self, image: pb.Image, cache: ImageCache, encoded: bytes | memoryview = b""
    ) -> None:
        self.is_named = image.WhichOneof("source") == "sha256"
        """Whether the request has the digest instead of the file."""
        self.request = b""
        """The request as it came, with the file, if another names the digest in its place."""
        self._digest = image.sha256
        self._encoded = encoded or image.encoded
        self._cache = cache
        self._held: set[bytes] = set()
        self._hashing = asyncio.Lock()

    async def digest(self) -> bytes:
        """Return the SHA-256 digest of the file, computed once."""
        async with self._hashing:
            if not self._digest:
                self._digest = await _sha256(self._encoded)
        return self._digest

    @property
    def is_at_hand(self) -> bool:
        """Whether the file can probably be had."""
        return bool(self._encoded) or self._digest in self._cache

    async def file(self) -> bytes | memoryview | None:
        """Return the file, if the caller has it or it is kept."""
        return self._encoded or await self._cache.get(self._digest)

    async def hold(self, digest: bytes) -> None:
        """Keep the file, if it came, for later requests by the digest that a model claims; once
        for each digest."""
        if self._encoded and digest not in self._held:
            self._held.add(digest)
            await self._cache.put(self._encoded, digest)

    async def hold_for(self, reply: bytes) -> None:
        """``hold``, by the digest if that is known, else by that in a ``SegmentResponse``."""
        if self._encoded:
            await self.hold(self._digest or await _image_digest(reply))
