"""A model service as the gateway knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.rpc import status_pb2

from diptych.segment import v1 as pb

from ..statuses import unreachable
from .backends import Backend


@dataclass
class Known:
    """One model service; ``card`` is the last one seen and stays when the service goes away."""

    backend: Backend
    card: pb.ModelCard | None = None
    status: status_pb2.Status = field(init=False)
    """OK, or why it cannot be reached."""

    def __post_init__(self) -> None:
        self.status = unreachable(self.model_id).to_status()

    @property
    def model_id(self) -> str:
        """The id in the settings."""
        return self.backend.model_id
