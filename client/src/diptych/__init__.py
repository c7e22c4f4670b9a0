"""Segment pictures with Mask R-CNN and SAM 2, side by side."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._cards import (
    Category,
    KeypointSchema,
    KnownModel,
    Licenses,
    Limits,
    Metric,
    ModelCard,
    Variant,
    Weights,
)
from ._channel import ChannelOptions
from ._errors import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    ImageNotHeldError,
    InvalidRequestError,
    MessageTooLargeError,
    MissingExtraError,
    ModelNotFoundError,
    OverloadedError,
    RequestCancelledError,
    ServerError,
    SessionLostError,
    UnavailableError,
    UnsupportedCallError,
    UnsupportedTaskError,
    VideoFileError,
    Violation,
)
from ._export import SegmentArrays
from ._health import ServingStatus
from ._images import ImageLike
from ._results import (
    Agreement,
    Agreements,
    AnswerTime,
    Comparison,
    ManyItem,
    Match,
    ModelOutcome,
    ModelStats,
    Provenance,
    SegmentResult,
    StageTime,
    Timings,
)
from ._segment import Keypoint, Segment
from ._timeouts import DEFAULT
from ._tls import TlsOptions
from ._types import (
    AutomaticOptions,
    Box,
    LowResLogits,
    MaskEncoding,
    OutputOptions,
    Point,
    Prompt,
    PromptKind,
    Task,
)
from ._video import (
    VideoCheckpoint,
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoObject,
    VideoPrompt,
    VideoRefusal,
)
from ._video_draw import VideoPanel, side_by_side
from ._video_frames import FrameLike, VideoFrame
from ._video_read import VideoReader, read_video
from ._video_write import VideoWriter
from .masks import Mask

if TYPE_CHECKING:
    from ._async_client import AsyncClient
    from ._async_video_session import AsyncVideoSession
    from ._client import Client
    from ._video_session import VideoSession

__all__ = [
    "DEFAULT",
    "Agreement",
    "Agreements",
    "AnswerTime",
    "AsyncClient",
    "AsyncVideoSession",
    "AuthenticationError",
    "AutomaticOptions",
    "Box",
    "Category",
    "ChannelOptions",
    "Client",
    "Comparison",
    "DeadlineExceededError",
    "DiptychError",
    "FrameLike",
    "ImageLike",
    "ImageNotHeldError",
    "InvalidRequestError",
    "Keypoint",
    "KeypointSchema",
    "KnownModel",
    "Licenses",
    "Limits",
    "LowResLogits",
    "ManyItem",
    "Mask",
    "MaskEncoding",
    "Match",
    "MessageTooLargeError",
    "Metric",
    "MissingExtraError",
    "ModelCard",
    "ModelNotFoundError",
    "ModelOutcome",
    "ModelStats",
    "OutputOptions",
    "OverloadedError",
    "Point",
    "Prompt",
    "PromptKind",
    "Provenance",
    "RequestCancelledError",
    "Segment",
    "SegmentArrays",
    "SegmentResult",
    "ServerError",
    "ServingStatus",
    "SessionLostError",
    "StageTime",
    "Task",
    "Timings",
    "TlsOptions",
    "UnavailableError",
    "UnsupportedCallError",
    "UnsupportedTaskError",
    "Variant",
    "VideoCheckpoint",
    "VideoEvent",
    "VideoFileError",
    "VideoFrame",
    "VideoFrameResult",
    "VideoLimits",
    "VideoObject",
    "VideoPanel",
    "VideoPrompt",
    "VideoReader",
    "VideoRefusal",
    "VideoSession",
    "VideoWriter",
    "Violation",
    "Weights",
    "read_video",
    "side_by_side",
]

# Half of the import time is the machinery of calls, which engines and scripts that only use the
# types do not need.
_LATE = {
    "AsyncClient": "._async_client",
    "AsyncVideoSession": "._async_video_session",
    "Client": "._client",
    "VideoSession": "._video_session",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LATE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
