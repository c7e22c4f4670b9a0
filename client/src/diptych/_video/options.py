"""Arguments of video sessions, checked and turned into what the sessions take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike, make_box, make_point
from .._transport.timeouts import checked_timeout
from .._types.errors import SessionLostError
from .._types.prompts import LowResLogits, OutputOptions, Prompt
from .._types.video import VideoOptions
from ..masks.mask import Mask
from .frames import checked_quality


def make_prompt(
    points: Sequence[PointLike], box: BoxLike | None, mask: Mask | NDArray[np.bool_] | None
) -> Prompt:
    """Make one object's prompt; an array is a ``(height, width)`` mask of the frame.

    Raises:
        TypeError, ValueError: it cannot be one.
    """
    if isinstance(mask, LowResLogits):
        raise TypeError("mask: expected a Mask or an array, got the logits of an image answer")
    return Prompt(
        points=tuple(make_point(point) for point in points),
        box=None if box is None else make_box(box),
        mask=Mask.from_array(mask) if isinstance(mask, np.ndarray) else mask,
    )


def make_video_options(
    model: str | None,
    output: OutputOptions | None,
    track_all: bool,
    resume: SessionLostError | None,
    auto_resume: bool,
    raise_refusals: bool,
    jpeg_quality: int | None,
    timeout: float | None,
) -> VideoOptions:
    """Options of a new session, or of one that goes on from a lost one.

    Raises:
        ValueError: one cannot be used, or the error holds no session.
    """
    checkpoint = resume.checkpoint if resume is not None else None
    if checkpoint is not None:
        model, output = model or checkpoint.model, output or checkpoint.output
        track_all = track_all or checkpoint.track_all
    elif resume is not None:
        raise ValueError("resume: expected the error of an open session, got one without any")
    return VideoOptions(
        model=model,
        output=output or OutputOptions(),
        track_all=track_all,
        auto_resume=auto_resume,
        raise_refusals=raise_refusals,
        jpeg_quality=checked_quality(jpeg_quality),
        timeout=checked_timeout(timeout),
        checkpoint=checkpoint,
    )
