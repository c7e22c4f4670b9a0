"""One request to one model, its bytes passed on as they came."""

from __future__ import annotations

from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason

from ..deadline import Deadline
from ..messages import said_digest, with_picture
from ..statuses import BackendError, too_late
from .image_cache import PictureCache
from .model import Model


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
    pictures: PictureCache,
    *,
    at_hand: bytes | memoryview = b"",
) -> bytes:
    """Send a serialised ``SegmentRequest``, whose image is ``image``, to a model.

    A replica that does not hold the digest is sent the file, if this gateway still has it or the
    caller has it ``at_hand``.

    Raises:
        BackendError, ServiceError: as ``Model.call``.
    """
    try:
        return await call(model, "Segment", request, deadline)
    except BackendError as error:
        if error.reason != Reason.IMAGE_NOT_HELD or image.WhichOneof("source") != "sha256":
            raise
        picture = at_hand or await pictures.get(image.sha256)
        if picture is None:
            raise
    return await call(model, "Segment", with_picture(request, bytes(picture)), deadline)


async def segment_and_hold(
    model: Model,
    request: bytes,
    image: pb.Image,
    picture: bytes | memoryview,
    deadline: Deadline,
    pictures: PictureCache,
) -> bytes:
    """``segment``, keeping the picture for later requests that name its digest."""
    reply = await segment(model, request, image, deadline, pictures)
    if picture:
        await pictures.put(picture, said_digest(reply))
    return reply
