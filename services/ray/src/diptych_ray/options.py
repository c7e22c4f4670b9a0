"""What ``diptych_ray:app`` may be told: which models, how many of each, on what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from diptych_runtime.main import ServiceSpec
from diptych_runtime.settings import SettingsError

GROUP = "diptych.models"
"""Entry points by which a distribution says that it is a model: its id, and its ``ServiceSpec``."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class ModelOptions(BaseModel):
    """How one model is served. Delays are in seconds."""

    # A file of YAML says DIPTYCH_THREADS: 2.
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )

    replicas: int = Field(default=1, ge=1)
    """Replicas at least."""
    max_replicas: int | None = Field(default=None, ge=1)
    """Replicas at most; more than ``replicas`` has Ray scale with the load."""
    load_per_replica: float = Field(default=4.0, gt=0)
    """Requests, waiting or running, and video sessions that a replica ought to have."""
    upscale_delay_s: float = Field(default=10.0, ge=0)
    """More replicas are started once the load has asked for them for so long."""
    downscale_delay_s: float = Field(default=300.0, ge=0)
    """Replicas are stopped once the load has not asked for them for so long."""
    cpus: float = Field(default=1.0, ge=0)
    """Cores that Ray sets aside for a replica."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs that Ray sets aside for a replica. Of less than one the memory is not divided."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Environment variables of a replica, beside those of its node."""

    @model_validator(mode="after")
    def _check(self) -> ModelOptions:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"expected max_replicas of at least replicas, {self.replicas}, "
                f"got {self.max_replicas}"
            )
        if self.gpus > 1:
            raise ValueError(f"an engine drives one device: expected gpus up to 1, got {self.gpus}")
        if wrong := [name for name in self.settings if not _VARIABLE.fullmatch(name)]:
            raise ValueError(
                f"expected names of variables such as DIPTYCH_THREADS in settings, got {wrong}"
            )
        return self


def _by_name(value: object) -> object:
    """Read ``sam-2,mask-rcnn``, which is how a command line says it."""
    if isinstance(value, str):
        return {name.strip(): {} for name in value.split(",") if name.strip()}
    if isinstance(value, Mapping):
        return {name: {} if entry is None else entry for name, entry in value.items()}
    return value


class AppOptions(BaseModel):
    """Arguments of the application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[dict[str, ModelOptions], BeforeValidator(_by_name)] = Field(min_length=1)
    """By the model's id; without this argument one replica of each model that is installed."""


def read_options(args: Mapping[str, Any]) -> AppOptions:
    """Read what ``serve run diptych_ray:app KEY=VALUE`` or ``args`` of a configuration say.

    Raises:
        SettingsError: an argument cannot be used; the message names it and what was expected.
    """
    known = sorted(each.name for each in entry_points(group=GROUP))
    if not known:
        raise SettingsError(f"expected distributions of models, entry points {GROUP!r}, found none")
    try:
        options = AppOptions.model_validate({"models": ",".join(known), **args})
    except ValidationError as error:
        raise SettingsError("; ".join(_fault(item) for item in error.errors())) from error
    if unknown := sorted(options.models.keys() - set(known)):
        raise SettingsError(
            f"models: expected some of {', '.join(known)}, which are installed here, "
            f"got {', '.join(unknown)}"
        )
    return options


def _fault(item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    return f"{where}={item['input']!r}: {item['msg'].removeprefix('Value error, ')}"


def spec_of(model_id: str) -> ServiceSpec:
    """Find the service of a model that is installed.

    Raises:
        SettingsError: it is not.
    """
    for found in entry_points(group=GROUP, name=model_id):
        spec = found.load()
        assert isinstance(spec, ServiceSpec)
        return spec
    raise SettingsError(f"model {model_id!r} is not installed on this node")
