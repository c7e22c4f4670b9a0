"""What every video session refuses alike, in the terms of the error table."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import Reason, ServiceError, invalid


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


def not_held(index: int, held: Iterable[int]) -> ServiceError:
    """The error for a prompt on a frame that never came, or is gone."""
    text = f"prompt.frame_index: expected a held frame ({listed(held)}), got {index}"
    return ServiceError(Reason.FRAME_NOT_HELD, text, metadata={"frameIndex": str(index)})


def listed(numbers: Iterable[int]) -> str:
    """Numbers as a message names them."""
    return ", ".join(map(str, numbers)) or "none"


def nothing_to_correct(why: str) -> ServiceError:
    """The error for a prompt of background points alone that corrects nothing."""
    text = f"expected a foreground point, a box or a mask, got background points alone; {why}"
    return invalid(Reason.PROMPT_INVALID, "prompt.prompt", text)
