"""Query parameters, as far as they are options under a name of their own."""

from __future__ import annotations

from typing import Any

from diptych import AutomaticOptions, OutputOptions

from ..options import CompareOptions, SegmentOptions
from ..pictures.query import GROUPS, MASK, OWN
from .schemas import Schema, notes

_POINT = r"^-?\d{1,5}(\.\d+)?,-?\d{1,5}(\.\d+)?(,[01])?$"
_BOX = r"^\d{1,5}(\.\d+)?(,\d{1,5}(\.\d+)?){3}$"
_SCHEMAS: dict[str, Schema] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "string"}},
    "numbers": {"type": "array", "items": {"type": "integer"}},
}
_TYPES = {"output": OutputOptions, "automatic": AutomaticOptions}


def parameters(
    options: type[SegmentOptions] | type[CompareOptions], *, draws: bool
) -> list[dict[str, Any]]:
    """Describe what may be said in the query; ``draws`` where one mask can be asked for."""
    own = [
        _parameter(name, kind, options.model_fields[name].description or "")
        for name, kind in OWN.items()
        if name in options.model_fields
    ]
    below = [
        _parameter(name, kind, _notes(group, name))
        for group, kinds in GROUPS.items()
        for name, kind in kinds.items()
    ]
    objects = [
        _repeated("point", _POINT, "`x,y`, or `x,y,0` for not on it; all together are one object."),
        _repeated("box", _BOX, "`x_min,y_min,x_max,y_max`; each is one object."),
    ]
    index = {"type": "integer", "minimum": 0, "maximum": 999_999}
    said = "Answer with the mask of this segment alone, as a PNG of 0 and 255."
    mask = [_query(MASK, index, said)] if draws else []
    return [*own, *objects, *below, *mask]


def _notes(group: str, name: str) -> str:
    found: str = notes(_TYPES[group]).get(name, {}).get("description", "")
    return found


def _parameter(name: str, kind: str, said: str) -> dict[str, Any]:
    commas = {"style": "form", "explode": False} if kind in ("list", "numbers") else {}
    return _query(name, _SCHEMAS[kind], said) | commas


def _repeated(name: str, pattern: str, said: str) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "string", "pattern": pattern}}
    return _query(name, schema, said) | {"style": "form", "explode": True}


def _query(name: str, schema: Schema, said: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": said}
