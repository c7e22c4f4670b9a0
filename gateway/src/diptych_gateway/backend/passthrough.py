"""Requests passed on as the bytes that came, and the images that are kept to be sent again.

The file of an image is never copied into another message.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb
from diptych.wire.serialized import with_image
from diptych_runtime.engine import Reason
from diptych_runtime.quarantine import Quarantine

from ..request import Deadline, parse
from ..statuses import BackendError, too_late
from .model import Model

_THREAD_FROM_BYTES = 64 * 1024
_DIGEST_BYTES = 32
_MUCH_BYTES = 4 * 1024


class ImageCache:
    """Image files by SHA-256 digest, bounded in bytes, the least recently used out first.

    ``quarantine`` has those that ended an engine, as ``<model id> <digest>``.
    """

    def __init__(self, max_bytes: int, *, quarantine_s: float = 600.0) -> None:
        self.quarantine = Quarantine(quarantine_s)
        self._max_bytes = max_bytes
        self._files: OrderedDict[bytes, bytes | memoryview] = OrderedDict()
        self._checked: set[bytes] = set()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._files)

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


async def call(model: Model, method: str, request: bytes, deadline: Deadline) -> bytes:
    """Send a serialised request to a model within what is left of a deadline.

    Raises:
        BackendError, ServiceError: as ``Model.call``.
    """
    timeout_s = deadline.for_backend_s()
    if timeout_s <= 0:
        raise too_late(model.model_id)
    return await model.call(method, request, timeout_s=timeout_s)


async def segment(
    model: Model,
    request: bytes,
    image: pb.Image,
    deadline: Deadline,
    cache: ImageCache,
    *,
    encoded: bytes | memoryview = b"",
) -> bytes:
    """Send a serialised ``SegmentRequest``, whose image is ``image``, to a model.

    A replica that does not hold the digest is sent the file, if this gateway still has it or the
    caller has it at hand as ``encoded``. An image that ended an engine of this model is refused.

    Raises:
        BackendError, ServiceError: as ``Model.call``.
    """
    if cache.quarantine.digests:
        cache.quarantine.check(await _quarantine_key(model, image, encoded))
    try:
        return await call(model, "Segment", request, deadline)
    except BackendError as error:
        if error.has_ended_engine:
            cache.quarantine.add(await _quarantine_key(model, image, encoded))
        if error.reason != Reason.IMAGE_NOT_HELD or image.WhichOneof("source") != "sha256":
            raise
        file = encoded or await cache.get(image.sha256)
        if file is None:
            raise
    return await call(model, "Segment", with_image(request, file), deadline)


async def _quarantine_key(model: Model, image: pb.Image, encoded: bytes | memoryview) -> str:
    digest = image.sha256 or await _sha256(encoded or image.encoded)
    return f"{model.model_id} {digest.hex()}"


async def segment_and_hold(
    model: Model,
    request: bytes,
    image: pb.Image,
    encoded: bytes | memoryview,
    deadline: Deadline,
    cache: ImageCache,
) -> bytes:
    """``segment``, keeping the file of the image for later requests that name its digest."""
    reply = await segment(model, request, image, deadline, cache, encoded=encoded)
    if encoded:
        await cache.put(encoded, await _image_digest(reply))
    return reply
