"""Settings of a model service, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .logs import Format

MiB = 1024 * 1024
_COLUMN = 10

S = TypeVar("S", bound=BaseSettings)

OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
"""The path of a file. Empty means unset, as in ``NAME=`` of a compose file."""

OptionalPort = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A number. Empty means unset."""


class RuntimeSettings(BaseSettings):
    """Every ``DIPTYCH_*`` variable that all model services share."""

    model_config = SettingsConfigDict(
        env_prefix="DIPTYCH_", frozen=True, extra="ignore", allow_inf_nan=False
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """Port to listen on; unset means the service's own."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines that the log has."""
    log_format: Format = "auto"
    """How they are written; ``auto``: readable text on a terminal, else JSON."""
    reflection: bool = True
    """Serve gRPC reflection."""
    metrics_port: OptionalPort = Field(default=None, ge=0, le=65535)
    """Port that tells Prometheus about the service at ``/metrics``; unset or 0 tells nobody."""
    tls_cert: OptionalFile = None
    """PEM file with the certificate to show; unset serves without TLS."""
    tls_key: OptionalFile = None
    """PEM file with its key."""
    tls_client_ca: OptionalFile = None
    """PEM file of the authority whose certificate every client has to show."""

    request_bytes: int = Field(default=384 * MiB, ge=32 * MiB)
    """Bytes of requests that may be under way; further ones are refused before they are read."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections of gRPC at a time, fewer where the process may not open as many files."""
    queue_requests: int = Field(default=64, ge=1)
    """Requests that may wait."""
    queue_seconds: float = Field(default=60.0, gt=0)
    """Work that may wait, in estimated seconds of the model."""
    default_deadline_s: float = Field(default=60.0, gt=0)
    """Deadline of a request that has none."""
    max_deadline_s: float = Field(default=600.0, gt=0)
    """No request waits longer than this, whatever it asks."""
    drain_s: float = Field(default=25.0, ge=0)
    """Time that running requests get when the service has to stop."""

    max_batch: int = Field(default=32, ge=1, le=1024)
    """Prompts on held images that may be answered together; 1 answers each alone."""
    cache_bytes: int | None = Field(default=None, ge=0)
    """Memory for images and their features; unset: a quarter of what is free on the GPU once the
    model is loaded, at most half of the memory; without a GPU an eighth of the memory, from 256 MiB
    to 8 GiB."""
    features_dir: OptionalFile = None
    """Folder in which features are kept, so that a picture needs no encoder after a restart; unset
    keeps none. Several services may share it."""
    features_bytes: int = Field(default=10 * 1024 * MiB, ge=MiB)
    """Bytes of that folder; what was not used for the longest time goes first."""
    step_timeout_s: float = Field(default=120.0, gt=0)
    """An engine that makes no progress for so long while it has work is killed."""
    load_timeout_s: float = Field(default=600.0, gt=0)
    """An engine that has not loaded its weights after so long is killed."""
    restart_tries: int = Field(default=5, ge=1)
    """Starts of the engine that may fail in a row before the service gives up."""
    quarantine_s: float = Field(default=600.0, ge=0)
    """An image that an engine process ended over is refused for so long."""
    loop_timeout_s: float = Field(default=60.0, gt=0)
    """A process whose event loop has not answered for so long ends."""

    max_image_px: int = Field(default=50_000_000, ge=1)
    """Pixels of an image."""
    min_side_px: int = Field(default=16, ge=1)
    """Shorter side of an image, in pixels."""
    max_aspect_ratio: int = Field(default=20, ge=1)
    """Longer side of an image over its shorter side."""
    max_prompts: int = Field(default=256, ge=1)
    """Objects in one request."""
    max_points_per_prompt: int = Field(default=64, ge=1)
    """Points of one object."""
    max_segments: int = Field(default=1000, ge=1)
    """Segments that a request may ask for."""
    max_grid_points: int = Field(default=25_000, ge=1)
    """Points of the automatic grid, all crops together."""

    max_sessions: int = Field(default=8, ge=1)
    """Video sessions at a time."""
    max_video_objects: int = Field(default=16, ge=1)
    """Objects that a video session follows at a time."""
    held_frames: int = Field(default=8, ge=1)
    """Newest frames of a video session that prompts are accepted on."""
    frames_in_flight: int = Field(default=4, ge=1)
    """Messages of a video session that are read ahead of their answers."""
    session_idle_s: float = Field(default=60.0, gt=0)
    """A video session without a message for so long is closed."""


class SettingsError(Exception):
    """The environment holds a value that cannot be used; the message is one line."""


def read_settings() -> RuntimeSettings:
    """Read the settings of a model service from the environment; see ``from_environment``."""
    return from_environment(RuntimeSettings)


def from_environment(kind: type[S]) -> S:
    """Read settings of a kind from the environment.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError(explain(error)) from error


def explain(error: ValidationError, prefix: str = "DIPTYCH_") -> str:
    """Make one line that names each variable, what it held and what was expected."""
    parts = []
    for item in error.errors():
        name = prefix + "_".join(str(part) for part in item["loc"]).upper()
        parts.append(f"{name}={item['input']!r}: {item['msg'].lower()}")
    return "; ".join(parts)


def told_plan(program: str, plan: Mapping[str, str]) -> str:
    """Write what ``--check`` says of settings that can be used."""
    lines = [f"  {name:<{_COLUMN}} {value}\n" for name, value in plan.items()]
    return "".join((f"{program}: the settings can be used\n", *lines))


def told_file(path: Path | None) -> str:
    """Name a file that a setting has."""
    return "no" if path is None else str(path)
