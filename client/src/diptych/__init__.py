"""Segment images with Mask R-CNN and SAM 2, side by side."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._arguments import ImageLike
from ._drawing.video import VideoPanel, side_by_side
from ._export.formats import SegmentArrays
from ._transport.channel import ChannelOptions
from ._transport.timeouts import DEFAULT
from ._transport.tls import TlsOptions
from ._types.agreement import Agreement, Agreements, Match
from ._types.cards import (
    Application,
    Architecture,
    Category,
    KeypointSchema,
    KnownModel,
    Licenses,
    LicenseStatement,
    Limits,
    Metric,
    ModelCard,
    OutputKind,
    Replica,
    Variant,
    Weights,
)
from ._types.checkpoint import VideoCheckpoint, VideoPrompt
from ._types.errors import (
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
from ._types.geometry import Box, Point
from ._types.health import ServingStatus
from ._types.many import ManyItem
from ._types.prompts import (
    AutomaticOptions,
    LowResLogits,
    MaskEncoding,
    OutputOptions,
    Prompt,
    PromptKind,
    Task,
)
from ._types.results import Comparison, ModelOutcome, Provenance, SegmentResult, Timings
from ._types.segment import Keypoint, Segment
from ._types.stats import AnswerTime, ModelStats, StageTime
from ._types.video import (
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoObject,
    VideoRefusal,
)
from ._video.frames import FrameLike, VideoFrame
from ._video.read import VideoReader, read_video
from ._video.write import VideoWriter
from .masks.mask import Mask

if TYPE_CHECKING:
    from ._async_client import AsyncClient
    from ._client import Client
    from ._export.coco_dataset import coco_dataset
    from ._video.async_session import AsyncVideoSession
    from ._video.session import VideoSession

__all__ = [
    "DEFAULT",
    "Agreement",
    "Agreements",
    "AnswerTime",
    "Application",
    "Architecture",
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
    "LicenseStatement",
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
    "OutputKind",
    "OutputOptions",
    "OverloadedError",
    "Point",
    "Prompt",
    "PromptKind",
    "Provenance",
    "Replica",
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
    "coco_dataset",
    "read_video",
    "side_by_side",
]

# Half of the import time is the machinery of calls, which engines and scripts that only use the
# types do not need.
_LATE = {
    "AsyncClient": "._async_client",
    "AsyncVideoSession": "._video.async_session",
    "Client": "._client",
    "VideoSession": "._video.session",
    "coco_dataset": "._export.coco_dataset",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("diptych")
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LATE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
