"""The OpenAPI description of the routes, made from the routes and the types of their documents."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from diptych.documents.cards import CardsDocument
from diptych.documents.types import (
    ComparisonDocument,
    ModelDocument,
    ResultDocument,
    VideoFrameDocument,
)

from .. import events, problems, video_socket
from ..api import About, Alive, Ready, Version
from ..export.api import MEDIA_TYPES, ZIP, FormatDocument
from ..export.body import ExportBody
from ..guard import Endpoint
from ..options import CompareOptions, SegmentOptions
from ..pictures import accept, body
from ..problems import Problem
from . import examples, query
from .schemas import REF, Schema, Schemas

_NOT_DESCRIBED = ("/api/docs", "/api/{path:path}")
_OPTIONS: dict[str, type[SegmentOptions] | type[CompareOptions]] = {
    "/api/segment": SegmentOptions,
    "/api/compare": CompareOptions,
    "/api/compare/stream": CompareOptions,
}
_ANSWERS = {
    "/api/models": list[ModelDocument],
    "/api/models/{model_id}": ModelDocument,
    "/api/cards": CardsDocument,
    "/api/server": About,
    "/version": Version,
    "/api/export": list[FormatDocument],
    "/api/segment": ResultDocument,
    "/api/compare": ComparisonDocument,
    "/healthz": Alive,
    "/readyz": Ready,
}
_TAGS = {
    "Pictures": "What models find in a picture, and how far they agree.",
    "Models": "Which models there are, what they are, and how they compare.",
    "Server": "Whether it serves, where, and with what figures.",
}
_TAG_OF = {
    "/api/models": "Models",
    "/api/models/{model_id}": "Models",
    "/api/cards": "Models",
    "/api/server": "Server",
    "/version": "Server",
    "/api/openapi.json": "Server",
    "/healthz": "Server",
    "/readyz": "Server",
    "/metrics": "Server",
}
_OF_READING = (401, 403, 500)
# In a comparison, what a model refuses is in that model's place.
_OF_COMPARING = (400, 401, 403, 413, 415, 422, 500, 503, 504)
# Each value of what is sent is looked at by the gateway itself, and it asks no model.
_OF_EXPORTING = (400, 401, 403, 413, 415, 500, 503, 504)
_OF_COMPARING_ONCE = tuple(sorted((*_OF_COMPARING, 406)))
_FILE = {"schema": {"type": "string", "format": "binary"}}
_FILES = {kind: _FILE for kind in (*MEDIA_TYPES.values(), ZIP)}
_CODES = {
    "/api/models/{model_id}": (401, 403, 404, 500),
    "/api/segment": tuple(examples.REFUSALS),
    "/api/compare": _OF_COMPARING_ONCE,
    "/api/compare/stream": _OF_COMPARING,
    "/api/cards": (*_OF_READING, 503),
    "/api/server": (401, 403),
    "/version": (401, 403),
    "/api/export": (401, 403),
    "/metrics": (*_OF_READING, 503),
    "/readyz": (503,),
}
_STREAM = (
    "Server-sent events, whose data is JSON: `outcome`, an Outcome, for each model as it answers; "
    "then `agreements`, a list of Agreement; `error`, a Problem, if it breaks off."
)
_SOCKET = "A video session: JSON and files, as the documentation says; a `frame` is a VideoFrame."
_REQUEST_ID = {"schema": {"type": "string"}, "description": "The request, as in the server's log."}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"schema": {"type": "string"}, "description": "In whole seconds."}},
    503: {"Retry-After": {"schema": {"type": "string"}, "description": "In whole seconds."}},
}


def describe(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Describe everything that these routes serve."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Diptych",
            "version": "1",
            "description": "Segment a picture with several models, and see how far they agree.",
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": _paths(routes),
        "x-websockets": {
            video_socket.PATH: _SOCKET,
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths(routes: Iterable[BaseRoute]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not isinstance(route, Route) or route.path in _NOT_DESCRIBED:
            continue
        if isinstance(route.endpoint, Endpoint):
            found.setdefault(route.path, {}).update(_path(route.path, route.endpoint))
    return found


def _path(path: str, endpoint: Endpoint) -> dict[str, Any]:
    method = endpoint.methods[0].lower()
    exports = path == "/api/export" and method == "post"
    codes = _CODES.get(path, () if endpoint.public else _OF_READING)
    codes = _OF_EXPORTING if exports else codes
    description = _STREAM if path == "/api/compare/stream" else "The answer."
    answer = {"description": description, "headers": {"X-Request-ID": _REQUEST_ID}}
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "tags": [_TAG_OF.get(path, "Pictures")],
        "summary": (endpoint.handler.__doc__ or "").strip(),
        "security": [] if endpoint.public else [{}, {"token": []}],
        "responses": {
            "200": {**answer, "content": _FILES if exports else _content(path)},
            **{str(code): _refusal(code) for code in codes},
        },
    }
    if endpoint.scope is not None:
        operation["description"] = f"A token has to be for `{endpoint.scope}`, or for everything."
    if "{model_id}" in path:
        model_id = {"name": "model_id", "in": "path", "required": True}
        operation["parameters"] = [model_id | {"schema": {"type": "string"}}]
    if exports:
        content = {"application/json": {"schema": {"$ref": f"{REF}{ExportBody.__name__}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if path in _OPTIONS:
        operation["parameters"] = query.parameters(_OPTIONS[path], draws=path == "/api/segment")
        operation["requestBody"] = _form(_OPTIONS[path].__name__)
    return {method: operation}


def _content(path: str) -> dict[str, Any]:
    if path == "/metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    if path == "/api/compare/stream":
        return {events.MEDIA_TYPE: _events()}
    if path not in _ANSWERS:
        return {"application/json": {"schema": {"type": "object"}}}
    content: dict[str, Any] = {"schema": _document_schemas().of(_ANSWERS[path])}
    if path == "/api/segment":
        content["example"] = examples.result()
    if path == "/api/compare":
        content["example"] = examples.comparison()
    drawn = {accept.PNG: _FILE} if path in _OPTIONS else {}
    return {"application/json": content, **drawn}


def _events() -> dict[str, Any]:
    """Describe the events in a field of our own: OpenAPI 3.1 has no words for their kinds."""
    comparison = _schemas()["Comparison"]["properties"]
    return {
        "example": examples.stream(),
        "x-events": {
            "outcome": comparison["results"]["items"],
            "agreements": {"type": "array", "items": comparison["agreements"]["items"]},
            "error": {"$ref": f"{REF}Problem"},
        },
    }


def _refusal(code: int) -> dict[str, Any]:
    schema = {"$ref": f"{REF}Problem"}
    text, _ = examples.REFUSALS[code]
    return {
        "description": text,
        "headers": {"X-Request-ID": _REQUEST_ID, **_HEADERS.get(code, {})},
        "content": {problems.MEDIA_TYPE: {"schema": schema, "example": examples.refusal(code)}},
    }


def _form(options: str) -> dict[str, Any]:
    image = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP file"}
    digest = {
        "type": "string",
        "pattern": "^([0-9a-fA-F]{64})?$",
        "description": "Of one sent before; empty is none.",
        "examples": [""],  # or viewers fill the field with a digest of nothing
    }
    schema = {
        "type": "object",
        "properties": {
            "image": image,
            "image_sha256": digest,
            "options": {"$ref": REF + options},
        },
        "oneOf": [{"required": ["image"]}, {"required": ["image_sha256"]}],
        "additionalProperties": False,
    }
    encoding = {"options": {"contentType": "application/json"}}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": schema, "encoding": encoding},
            **{kind: {"schema": image} for kind in body.MEDIA_TYPES},
        },
    }


def _schemas() -> dict[str, Schema]:
    return _document_schemas().by_name | _form_schemas()


@functools.cache
def _document_schemas() -> Schemas:
    made = Schemas(taken=_form_schemas())
    for kind in (*_ANSWERS.values(), VideoFrameDocument, Problem):
        made.of(kind)
    return made


@functools.cache
def _form_schemas() -> dict[str, Schema]:
    """Make the schemas of what a form may hold."""
    bodies = (SegmentOptions, CompareOptions, ExportBody)
    kinds = [(each, "validation") for each in bodies]
    _, made = models_json_schema(kinds, ref_template=REF + "{model}")  # type: ignore[arg-type]
    found: dict[str, Schema] = made["$defs"]
    return found
