"""What a video session refuses, in the terms of the error table."""

from __future__ import annotations

from diptych_runtime.errors import Reason, ServiceError, invalid
from diptych_runtime.video import VideoOptions


def check_options(options: VideoOptions, conditioning: int, with_features: int) -> None:
    """Refuse options that no session can be opened with.

    Raises:
        ServiceError: ``TASK_UNSUPPORTED`` for ``track_all``.
        ValueError: a number that is too small; these come from settings.
    """
    if options.track_all:
        text = "start.track_all: sam-2 follows only objects that are prompted"
        raise ServiceError(Reason.TASK_UNSUPPORTED, text, metadata={"modelId": "sam-2"})
    for name, value, least in (
        ("max_objects", options.max_objects, 1),
        ("held_frames", options.held_frames, 1),
        ("max_conditioning_frames", conditioning, 2),
        ("feature_frames", with_features, 1),
    ):
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")


def unknown(object_id: int, text: str) -> ServiceError:
    """The error for an object that is not tracked (any more)."""
    message = f"object_id: {text}"
    return ServiceError(Reason.OBJECT_UNKNOWN, message, metadata={"objectId": str(object_id)})


def too_many(text: str) -> ServiceError:
    """The error for one object more than allowed."""
    return ServiceError(Reason.OBJECT_LIMIT, f"object_id: {text}; remove one first")


def out_of_order(index: int, last: int) -> ServiceError:
    """The error for a frame whose index does not grow."""
    metadata = {"frameIndex": str(index), "last": str(last)}
    text = f"frame.frame_index: expected more than {last}, got {index}"
    return ServiceError(Reason.SESSION_ORDER, text, metadata=metadata)


def other_size(size: tuple[int, int], first: tuple[int, int]) -> ServiceError:
    """The error for a frame of another size (height, width) than the first."""
    want = f"{first[1]} x {first[0]}"
    text = f"expected {want} as the first frame, got {size[1]} x {size[0]}"
    return invalid(Reason.IMAGE_SHAPE, "frame.encoded", text)


def not_held(index: int, held: str) -> ServiceError:
    """The error for a prompt on a frame that never came, or is gone."""
    text = f"prompt.frame_index: expected a held frame ({held}), got {index}"
    return ServiceError(Reason.FRAME_NOT_HELD, text, metadata={"frameIndex": str(index)})
