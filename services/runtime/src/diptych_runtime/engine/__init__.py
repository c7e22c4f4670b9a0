"""What a model has to offer, and what it may use: the public part of the runtime.

``Engine`` is what every model implements, ``BatchingEngine`` and ``VideoEngine`` what it may add.
An engine raises ``LoadError`` while it loads, then ``ServiceError`` with a ``Reason`` for a request
that it cannot answer, and ``DeviceLostError`` when only a new process can go on.
"""

from __future__ import annotations

from .errors import Reason, ServiceError, Violation, invalid
from .object_ids import ObjectIds, check_tracked
from .protocol import (
    Answer,
    BatchingEngine,
    BatchItem,
    BatchSteps,
    DeviceLostError,
    Engine,
    Fact,
    Features,
    Job,
    KeepingEngine,
    LoadedModel,
    LoadedWeights,
    LoadError,
    Pixels,
    Steps,
    Variant,
)
from .tier import Tier, TierChoice, choose_tier
from .video import (
    OWN_IDS,
    FrameAnswer,
    TrackedObject,
    VideoEngine,
    VideoOptions,
    VideoSession,
)

__all__ = [
    "OWN_IDS",
    "Answer",
    "BatchItem",
    "BatchSteps",
    "BatchingEngine",
    "DeviceLostError",
    "Engine",
    "Fact",
    "Features",
    "FrameAnswer",
    "Job",
    "KeepingEngine",
    "LoadError",
    "LoadedModel",
    "LoadedWeights",
    "ObjectIds",
    "Pixels",
    "Reason",
    "ServiceError",
    "Steps",
    "Tier",
    "TierChoice",
    "TrackedObject",
    "Variant",
    "VideoEngine",
    "VideoOptions",
    "VideoSession",
    "Violation",
    "check_tracked",
    "choose_tier",
    "invalid",
]
