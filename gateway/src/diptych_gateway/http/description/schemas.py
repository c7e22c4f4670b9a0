"""JSON Schemas of documents, read off their types: dataclasses and typed dictionaries.

What becomes of a type here is what ``diptych.documents.results.plain`` makes of its values. Objects
are left open, because documents may gain fields.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import sys
import types
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from diptych import DiptychError
from diptych.documents.results import NOT_SHOWN
from diptych.documents.types import ErrorDocument

REF = "#/components/schemas/"
Schema = dict[str, Any]

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


class Schemas:
    """Schemas of all types that were asked for and of what they hold, by name.

    An object whose name is ``taken``, such as by what a request may say, is called ``NAME-Output``.
    References begin with ``ref``.
    """

    def __init__(self, taken: Collection[str] = (), ref: str = REF) -> None:
        self.by_name: dict[str, Schema] = {}
        self._taken = taken
        self._ref = ref

    def of(self, kind: Any) -> Schema:
        """Make the schema of a type; those with a name are kept and referred to."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return {**self.of(arguments[0]), **dict(arguments[1:])}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin in (Mapping, dict):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin is tuple and arguments[-1] is not Ellipsis:
            items = [self.of(argument) for argument in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
        if origin in (tuple, list):
            return {"type": "array", "items": self.of(arguments[0])}
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if kind is datetime:
            return {"type": "string", "format": "date-time"}
        return self._named(ErrorDocument if issubclass(kind, DiptychError) else kind)

    def _named(self, kind: Any) -> Schema:
        name = kind.__name__.removesuffix("Document")
        values = _enum(kind)
        if name in self._taken and not values:
            name += "-Output"
        if name not in self.by_name:
            self.by_name[name] = {}  # for types that hold themselves
            self.by_name[name] = values or self._object(kind)
        return {"$ref": self._ref + name}

    def _object(self, kind: Any) -> Schema:
        fields, noted = _shown_fields(kind), notes(kind)
        required = getattr(kind, "__required_keys__", fields)
        properties = {name: self.of(hint) | noted.get(name, {}) for name, hint in fields.items()}
        return {
            "type": "object",
            "description": inspect.getdoc(kind) or "",
            "properties": properties,
            "required": [name for name in fields if name in required],
        }


def _enum(kind: Any) -> Schema | None:
    if not issubclass(kind, enum.Enum):
        return None
    return {"type": "string", "enum": [member.value for member in kind]}


def _shown_fields(kind: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(kind):
        return get_type_hints(kind, include_extras=True)
    # Fields that are not shown may have types that exist for type checkers only.
    shown = {f.name: f.type for f in dataclasses.fields(kind) if f.name not in NOT_SHOWN}
    holder = types.SimpleNamespace(__annotations__=shown)
    return get_type_hints(holder, vars(sys.modules[kind.__module__]), include_extras=True)


def notes(kind: Any) -> dict[str, Schema]:
    """Read the texts below the fields of a class, as descriptions."""
    found: dict[str, Schema] = {}
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    # A typed dictionary has forgotten whom it inherits from; its text has not.
    names = [base.id for base in body.bases if isinstance(base, ast.Name)]
    for base in (getattr(sys.modules[kind.__module__], name, None) for name in names):
        if is_typeddict(base):
            found |= notes(base)
    for statement, following in itertools.pairwise(body.body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                plain = inspect.cleandoc(text).replace("``None``", "null").replace("``", "`")
                found[name] = {"description": plain}
    return found
