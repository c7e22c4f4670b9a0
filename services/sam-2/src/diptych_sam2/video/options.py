"""What a video session of SAM 2 can be opened with."""

from __future__ import annotations

from diptych_runtime.engine import Reason, ServiceError, VideoOptions


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
