"""What the gateway asks of anything that answers under a model's id: services, or a cascade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from google.rpc import status_pb2

from diptych.segment import v1 as pb

from ..request import Deadline
from .images import SentImage
from .video_relay import VideoRelay


class Model(Protocol):
    """Answers serialised requests with serialised replies."""

    @property
    def model_id(self) -> str:
        """The id in the settings."""

    @property
    def in_flight(self) -> int:
        """Calls that it has at this moment."""

    @property
    def card(self) -> pb.ModelCard | None:
        """The last card seen, which stays when the model goes away; ``None`` before the first."""

    @property
    def status(self) -> status_pb2.Status:
        """OK, or why the model cannot be reached."""

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Answer ``GetModelCard`` or ``GetModelStats`` within ``timeout_s``.

        Raises:
            BackendError: a service's own status.
            ServiceError: it cannot be reached, is late, or has too many requests waiting.
            LookupError: the contract has no such method for a model.
        """

    async def segment(self, request: bytes, image: SentImage, deadline: Deadline) -> bytes:
        """Answer a ``SegmentRequest``, whose image is ``image``.

        Raises:
            BackendError, ServiceError: as ``call``; or the image is in quarantine.
        """

    def video(
        self, start: bytes, requests: AsyncIterator[bytes], deadline: Deadline | None
    ) -> VideoRelay:
        """Prepare a session that begins with ``start`` and goes on with ``requests``.

        Raises:
            ServiceError: it does no videos, or it is too late to begin.
        """
