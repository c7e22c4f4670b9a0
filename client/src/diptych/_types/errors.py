"""What can go wrong, as exceptions.

::

    DiptychError                    root; also any code that is not in the table
    ├── InvalidRequestError         the image, a prompt, an option or the order of messages
    ├── UnsupportedTaskError        the model does not do the task or take the kind of prompt
    ├── UnsupportedCallError        the server has no such method: a model service, not a gateway
    ├── ModelNotFoundError          no model of that id
    ├── ImageNotHeldError           the digest is not held (any more); sending the bytes helps
    ├── AuthenticationError         no token, a bad one, or one without the right
    ├── OverloadedError             a queue, a limit or the device's memory is full; try later
    ├── MessageTooLargeError        image or answer over the size limit
    ├── SessionLostError            the server ended the video session
    ├── UnavailableError            not reachable, loading, draining or just restarting
    ├── DeadlineExceededError       no answer in time
    ├── RequestCancelledError       the call was cancelled, for example by closing the client
    ├── ServerError                 the server failed, or its answer makes no sense
    ├── VideoFileError              a video file cannot be read or written
    └── MissingExtraError           an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

    from .checkpoint import VideoCheckpoint


@dataclass(frozen=True)
class Violation:
    """One field that cannot be used: its path, such as ``prompts[3].box``, and why."""

    field: str
    description: str


class DiptychError(Exception):
    """Root of everything that this package raises about a request."""

    code: grpc.StatusCode | None
    """The gRPC code; ``None`` when the problem was found before anything was sent."""
    reason: str
    """Machine-readable cause such as ``"QUEUE_FULL"``; stable, unlike messages. Empty when gRPC
    itself spoke."""
    metadata: Mapping[str, str]
    """Variables of the message."""
    request_id: str
    """The request, as in the server's log; empty when the server never saw it."""
    violations: tuple[Violation, ...]
    """Fields that cannot be used."""
    retry_after_s: float | None
    """When the server suggests to try again, in seconds."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.request_id = request_id
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s


class InvalidRequestError(DiptychError):
    """The image, a prompt, an option or the order of messages cannot be used."""


class UnsupportedTaskError(DiptychError):
    """The model does not do the task, or does not take this kind of prompt."""


class UnsupportedCallError(DiptychError):
    """The server does not offer the method; comparisons and cards are the gateway's."""


class ModelNotFoundError(DiptychError):
    """The server knows no model of that id."""


class ImageNotHeldError(DiptychError):
    """The digest stands for bytes that the server does not hold (any more)."""


class AuthenticationError(DiptychError):
    """The token is missing, bad, or lacks the right."""


class OverloadedError(DiptychError):
    """The server has no room now; ``retry_after_s`` may say when it will."""


class MessageTooLargeError(DiptychError):
    """The request or the reply is over the size limit; asking again cannot help."""


class SessionLostError(DiptychError):
    """The server ended the video session, or went away, and the session could not go on by itself:
    ``client.video(resume=error)`` opens another one from there."""

    checkpoint: VideoCheckpoint | None = None
    """What a new session needs to go on; ``None`` if there was no session yet."""


class UnavailableError(DiptychError):
    """The server cannot be reached, or does not serve now."""


class DeadlineExceededError(DiptychError):
    """The answer did not come in time."""


class RequestCancelledError(DiptychError):
    """The call was cancelled before the answer came."""


class ServerError(DiptychError):
    """The server failed; ``request_id`` finds the cause in its log."""


class VideoFileError(DiptychError):
    """A video file, or a folder of frames, cannot be read or written."""

    frame_index: int | None = None
    """The frame at which it broke; all before it were fine. ``None`` if there is none at all."""


class MissingExtraError(DiptychError, ImportError):
    """An optional dependency is not installed; the message says what to install."""
