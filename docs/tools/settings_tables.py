"""Tables of every environment variable: from the settings classes and what stands beside them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tomllib
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from diptych_gateway.settings import Settings as GatewaySettings
from diptych_runtime.settings import RuntimeSettings

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "services" / "services.toml"
PREFIX = "DIPTYCH_"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One environment variable."""

    name: str
    kind: str
    default: str
    meaning: str


CLIENT = (
    Row("DIPTYCH_ADDRESS", "`host:port`", "`localhost:50051`", "Gateway or service to talk to."),
    Row(
        "DIPTYCH_TLS",
        "`true`, `false`",
        "unset",
        "Encrypt the connection; unset: if one of the next three is set.",
    ),
    Row("DIPTYCH_CA_FILE", "file", "unset", "Authority to trust instead of the public ones."),
    Row(
        "DIPTYCH_CERT_FILE",
        "file",
        "unset",
        "Certificate to show, to call a model service without the gateway.",
    ),
    Row("DIPTYCH_KEY_FILE", "file", "unset", "Its key."),
    Row("DIPTYCH_TOKEN_FILE", "file", "unset", "Token to send."),
)
WEIGHTS = (
    Row("DIPTYCH_WEIGHTS_DIR", "folder", "the user's cache", "Where pulled weights are kept."),
    Row(
        "DIPTYCH_WEIGHTS_MIRROR",
        "address",
        "unset",
        "A folder to pull weights from instead of the publisher's.",
    ),
)
COMPOSE_MEANINGS = {
    "DIPTYCH_SAM_2_B_GPU": "That of the second SAM 2 in `docker-compose.two-sam-2.yml`.",
    "DIPTYCH_CERTS": "Folder of certificates and tokens, with `docker-compose.tls.yml`.",
    "DIPTYCH_USER": "Owner of that folder, as `$(id -u):$(id -g)`: whom the containers run as.",
}


def rows_of(kind: type[BaseSettings], names: Iterable[str] | None = None) -> list[Row]:
    """One row for each field, or each of some fields.

    Raises:
        ValueError: a field has no docstring.
    """
    docs = _docstrings(kind)
    rows = []
    for name in kind.model_fields if names is None else names:
        field = kind.model_fields[name]
        if name not in docs:
            raise ValueError(f"{kind.__module__}.{kind.__name__}.{name}: expected a docstring")
        variable = f"{PREFIX}{name.upper()}"
        meaning = docs[name] + "".join(
            f" Formerly `{old}`." for old in _former_names(kind, variable)
        )
        rows.append(Row(variable, _kind(field), _default(field), meaning))
    return rows


def _docstrings(kind: type[BaseSettings]) -> dict[str, str]:
    """What stands below each field, as Markdown, also of the classes that are inherited from."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, BaseSettings) or base is BaseSettings:
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, after in zip(node.body, node.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
                found[field.target.id] = text.replace("``", "`").replace("|", "\\|")
    return found


def _former_names(kind: type[BaseSettings], variable: str) -> list[str]:
    """Names that are still read, with a warning: ``_RENAMED`` of the settings' module."""
    renamed: dict[str, str] = getattr(sys.modules[kind.__module__], "_RENAMED", {})
    return [old for old, new in renamed.items() if new == variable]


def _kind(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    if get_origin(annotation) is tuple:
        return "list"
    names = {int: "whole number", float: "number", Path: "file", str: "text"}
    return f"{names[annotation]}{_bounds(field)}"


def _bounds(field: FieldInfo) -> str:
    limits = {
        key: getattr(item, key)
        for item in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(item, key)
    }
    if "ge" in limits and "le" in limits:
        return f", {limits['ge']} to {limits['le']}"
    signs = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    return "".join(f", {signs[key].format(_number(value))}" for key, value in limits.items())


def _number(value: float) -> str:
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"{value} ({value // MIB} MiB)"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default(field: FieldInfo) -> str:
    if field.validate_default and not field.default:
        return "required"
    if field.default in (None, "", ()):
        return "unset"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, int | float):
        return _number(field.default)
    return f"`{field.default}`"


def compose_rows() -> list[Row]:
    """What only the compose files read.

    Raises:
        KeyError: one of them has no meaning here.
    """
    text = "".join(path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml")))
    defaults = dict(re.findall(r"\$\{(DIPTYCH_\w+):?-([^}]*)\}", text))
    meanings = {
        f"{PREFIX}{model_id.replace('-', '_').upper()}_GPU": (
            f"Number or UUID of the GPU of {entry['title']}; models may share one."
        )
        for model_id, entry in listed().items()
    } | COMPOSE_MEANINGS
    own = {name for name in defaults if name not in known_fields()}
    if own != set(meanings):
        raise KeyError(f"expected meanings of {sorted(own)}, got those of {sorted(meanings)}")
    profile = Row(
        "COMPOSE_PROFILES",
        "`gpu`, `cpu`",
        "`gpu`, from `.env`",
        "Models on GPUs, or the same images on a machine without one.",
    )
    index = Row(
        "PIP_INDEX_URL, PIP_EXTRA_INDEX_URL", "address", "unset", "Package index for a build."
    )
    rows = [
        Row(name, "GPU" if name.endswith("_GPU") else "folder", f"`{defaults[name]}`", meaning)
        for name, meaning in meanings.items()
    ]
    return [profile, *rows, index]


@functools.cache
def listed() -> dict[str, dict[str, Any]]:
    """The list of model services, by id."""
    found: dict[str, dict[str, Any]] = tomllib.loads(LIST.read_text())["models"]
    return found


@functools.cache
def models() -> dict[str, type[BaseSettings]]:
    """Settings of the listed models by their titles: ``EngineSettings`` of ``settings.py``."""
    found: dict[str, type[BaseSettings]] = {}
    for model_id, entry in listed().items():
        module = importlib.import_module(f"diptych_{model_id.replace('-', '')}.settings")
        found[entry["title"]] = module.EngineSettings
    return found


def shared_fields() -> list[str]:
    """Fields that all models have, in the order of the first."""
    first, *others = (list(kind.model_fields) for kind in models().values())
    return [name for name in first if all(name in fields for fields in others)]


def shared_table() -> str:
    """What all models read."""
    return table(rows_of(next(iter(models().values())), shared_fields()))


def model_tables() -> str:
    """What only one model reads, each under its title."""
    shared = shared_fields()
    parts = []
    for title, kind in models().items():
        own = [name for name in kind.model_fields if name not in shared]
        parts.append(f"### {title}\n\n{table(rows_of(kind, own))}" if own else "")
    return "\n".join(part for part in parts if part)


def known_fields() -> set[str]:
    """Every variable that a settings class reads."""
    kinds: list[type[BaseSettings]] = [RuntimeSettings, GatewaySettings, *models().values()]
    return {f"{PREFIX}{field.upper()}" for kind in kinds for field in kind.model_fields}


def table(rows: Iterable[Row]) -> str:
    """As Markdown."""
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        name = ", ".join(f"`{part}`" for part in row.name.split(", "))
        lines.append(f"| {name} | {row.kind} | {row.default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


TABLES: Mapping[str, Callable[[], str]] = {
    "settings-client": lambda: table(CLIENT),
    "settings-services": lambda: table([*rows_of(RuntimeSettings), *WEIGHTS]),
    "settings-torch": shared_table,
    "settings-models": model_tables,
    "settings-gateway": lambda: table(rows_of(GatewaySettings)),
    "settings-compose": lambda: table(compose_rows()),
}
