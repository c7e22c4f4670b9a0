"""Settings of the gateway, read once from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from diptych_runtime.logs import Format
from diptych_runtime.settings import OptionalFile, OptionalPort, SettingsError

from .backend.addresses import Source, parse_source

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

MiB = 1024 * 1024
_PREFIX = "DIPTYCH_"
# Names of the release before, which are read for one more.
RENAMED = {"DIPTYCH_PICTURE_CACHE_BYTES": "DIPTYCH_IMAGE_CACHE_BYTES"}
"""Old names of variables, which still work, and their new ones."""
_EXAMPLE = "mask-rcnn=localhost:50061,sam-2=localhost:50062"
_CASCADE_EXAMPLE = "mask-rcnn>sam-2"
_AN_ORIGIN = "https://diptych.example"
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_MODEL_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Endpoint:
    """A model and where its replicas are, in the words of the settings; see ``parse_source``."""

    model_id: str
    address: str

    @property
    def source(self) -> Source:
        """Where that is; what the settings hold has been checked."""
        return parse_source(self.address)


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """Read ``name=where,name=where``, in that order; ``parse_source`` says what ``where`` may be.

    Raises:
        ValueError: an entry cannot be used; the message says which and what was expected.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ValueError(f"name at least one model, such as {_EXAMPLE}")
    endpoints = tuple(_parse_endpoint(entry) for entry in entries)
    seen: set[str] = set()
    for endpoint in endpoints:
        if endpoint.model_id in seen:
            raise ValueError(
                f"name {endpoint.model_id!r} only once; "
                f"its replicas stand together, as {endpoint.model_id}=host:port|host:port"
            )
        seen.add(endpoint.model_id)
    return endpoints


def _parse_endpoint(entry: str) -> Endpoint:
    model_id, equals, address = (part.strip() for part in entry.partition("="))
    if not equals:
        raise ValueError(f"write {entry!r} as name=host:port, such as {_EXAMPLE}")
    if not _MODEL_ID.fullmatch(model_id):
        raise ValueError(f"write the name {model_id!r} in lower-kebab-case, such as mask-rcnn")
    try:
        parse_source(address)
    except ValueError as error:
        raise ValueError(f"write the address {address!r} of {model_id} {error}") from None
    return Endpoint(model_id, address)


@dataclass(frozen=True)
class Pair:
    """Two models that answer as one: the first finds and labels, the second redraws."""

    detector: str
    segmenter: str

    @property
    def model_id(self) -> str:
        """The id of the two together."""
        return f"{self.detector}-{self.segmenter}"


def parse_pairs(text: str) -> tuple[Pair, ...]:
    """Read ``detector>segmenter,detector>segmenter``, in that order.

    Raises:
        ValueError: an entry is no such pair; the message says which.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return tuple(_parse_pair(entry) for entry in entries)


def _parse_pair(entry: str) -> Pair:
    detector, _, segmenter = (part.strip() for part in entry.partition(">"))
    if not detector or not segmenter or ">" in segmenter:
        raise ValueError(
            f"write {entry!r} as detector>segmenter, two names of DIPTYCH_MODELS, "
            f"such as {_CASCADE_EXAMPLE}"
        )
    return Pair(detector, segmenter)


def _check_pairs(pairs: tuple[Pair, ...], models: tuple[Endpoint, ...]) -> None:
    """Refuse pairs that these models cannot make, and ids that are taken.

    Raises:
        ValueError: the message names the pair and what is wrong with it.
    """
    services = [endpoint.model_id for endpoint in models]
    taken = set(services)
    for pair in pairs:
        written = f"{pair.detector}>{pair.segmenter}"
        for name in (pair.detector, pair.segmenter):
            if name not in services:
                raise ValueError(
                    f"expected names of DIPTYCH_MODELS, {', '.join(services)}; "
                    f"got {name!r} in {written!r}"
                )
        if pair.detector == pair.segmenter:
            raise ValueError(f"expected two different models, got {written!r}")
        if pair.model_id in taken:
            raise ValueError(f"{written!r} would be {pair.model_id!r}, which is there already")
        taken.add(pair.model_id)


def _to_pairs(value: object) -> object:
    return parse_pairs(value) if isinstance(value, str) else value


def _to_endpoints(value: object) -> object:
    return parse_endpoints(value) if isinstance(value, str) else value


def parse_origins(text: str) -> tuple[str, ...]:
    """Read ``https://name,https://name:port``, as browsers write origins.

    Raises:
        ValueError: an entry cannot be used; the message says which and what was expected.
    """
    origins = tuple(entry.strip().lower() for entry in text.split(",") if entry.strip())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"write {origin!r} as a page's address without a path, such as {_AN_ORIGIN}"
            )
    return origins


def _to_origins(value: object) -> object:
    return parse_origins(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every ``DIPTYCH_*`` variable that the gateway reads."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="ignore", allow_inf_nan=False
    )

    models: Annotated[tuple[Endpoint, ...], NoDecode, BeforeValidator(_to_endpoints)] = Field(
        default=(), min_length=1, validate_default=True
    )
    """The models, as ``name=host:port,name=host:port``; their order is that of every list. Replicas
    of one are at all addresses that its host has, or at ``host:port|host:port``, or where a
    directory lists them, ``http://host:port/path``."""
    cascades: Annotated[tuple[Pair, ...], NoDecode, BeforeValidator(_to_pairs)] = ()
    """Pairs of models that answer as one more, as ``detector>segmenter,detector>segmenter``."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port of the gRPC server."""
    http_port: OptionalPort = Field(default=8080, ge=0, le=65535)
    """Port of the HTTP server and its page; empty serves none."""
    http_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_to_origins)] = ()
    """Addresses of the page behind a proxy, as ``https://name,https://name:port``."""
    reflection: bool = True
    """Serve gRPC reflection."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines that the log has."""
    log_format: Format = "auto"
    """How they are written; ``auto``: readable text on a terminal, else JSON."""

    tls_cert: OptionalFile = None
    """PEM file with the certificate to show; unset serves without TLS."""
    tls_key: OptionalFile = None
    """PEM file with its key."""
    tokens_file: OptionalFile = None
    """TOML file of the tokens that callers need; unset asks for none."""
    services_ca: OptionalFile = None
    """PEM file of the authority of the model services; unset speaks to them without TLS."""
    services_cert: OptionalFile = None
    """PEM file with the certificate to show to model services."""
    services_key: OptionalFile = None
    """PEM file with its key."""
    proxy_to_services: bool = False
    """Reach model services by the proxy that ``http_proxy`` names; by itself they are near."""

    request_bytes: int = Field(default=320 * MiB, ge=32 * MiB)
    """Bytes of requests that may be under way; further ones are refused before they are read."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections to each port at a time, fewer where the process may not open as many files."""
    image_cache_bytes: int = Field(default=256 * MiB, ge=0)
    """Memory for images that are sent again to a replica that lost them."""
    quarantine_s: float = Field(default=600.0, ge=0)
    """An image that an engine of a model ended over is sent to no replica of it for so long."""
    in_flight_bytes: int = Field(default=512 * MiB, ge=32 * MiB)
    """Requests that may wait for one replica or cascade, in bytes; further ones are refused."""
    in_flight_requests: int = Field(default=128, ge=1)
    """Requests that may wait for one replica or cascade; further ones are refused."""

    default_deadline_s: float = Field(default=60.0, gt=0)
    """Deadline of a request that came without one."""
    max_deadline_s: float = Field(default=600.0, gt=0)
    """No request waits longer than this, whatever it asks."""
    deadline_reserve_s: float = Field(default=0.05, ge=0)
    """What the gateway keeps of a deadline to answer with what it has."""
    card_refresh_s: float = Field(default=60.0, gt=0)
    """Age at which a card is read again."""
    drain_s: float = Field(default=25.0, ge=0)
    """Time that running requests get when the gateway is told to stop."""
    loop_timeout_s: float = Field(default=60.0, gt=0)
    """A process whose event loop has not answered for so long ends."""

    @field_validator("cascades")
    @classmethod
    def _pairs_of_models(cls, pairs: tuple[Pair, ...], info: ValidationInfo) -> tuple[Pair, ...]:
        if "models" in info.data:  # otherwise it is they that have to be changed
            _check_pairs(pairs, info.data["models"])
        return pairs


def read_settings() -> Settings:
    """Read the settings of this process; a variable's new name goes before its old one.

    Raises:
        SettingsError: a variable has a value that cannot be used; one line says what to change.
    """
    renamed = {
        new.removeprefix(_PREFIX).lower(): os.environ[old]
        for old, new in _old_names_in_use().items()
        if new not in os.environ
    }
    try:
        return Settings(**renamed)  # type: ignore[arg-type]  # texts, as from the environment
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def warn_of_old_names() -> None:
    """Write a warning to the log for each variable that is set under its old name."""
    for old, new in _old_names_in_use().items():
        _log.warning("setting has another name now", variable=old, use=new)


def _old_names_in_use() -> dict[str, str]:
    """Find the variables that are set under a name of the release before; gives the new ones."""
    return {old: new for old, new in RENAMED.items() if old in os.environ}


def _explain(error: ValidationError) -> str:
    parts = []
    set_as = {new: old for old, new in _old_names_in_use().items() if new not in os.environ}
    for item in error.errors():
        name = _PREFIX + str(item["loc"][0]).upper()
        name = set_as.get(name, name)
        if item["loc"][0] == "models" and item["type"] == "too_short":
            parts.append(f"set {name}: name at least one model, such as {_EXAMPLE}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            parts.append(f"change {name}={item['input']!r}: {message[:1].lower()}{message[1:]}")
    return "; ".join(parts)
