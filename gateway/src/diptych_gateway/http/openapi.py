"""The OpenAPI description of the routes, made from the routes themselves."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from ..tokens import Scope
from . import events, problems, video_socket
from .guard import Endpoint
from .options import CompareOptions, SegmentOptions

_REF = "#/components/schemas/"
_OPTIONS = {
    "/api/segment": SegmentOptions,
    "/api/compare": CompareOptions,
    "/api/compare/stream": CompareOptions,
}
_REFUSALS = {
    400: "The form, the picture, a prompt or an option cannot be used.",
    401: "No token, or one that is not known.",
    403: "The token is for something else.",
    404: "No such model, or a digest that is not held.",
    413: "The form or the picture is too large.",
    415: "Not a multipart form.",
    422: "The model does not do the task or take the kind of prompt.",
    429: "Too many requests wait; Retry-After says when to try again.",
    500: "A model or the gateway failed.",
    503: "No model, or not this one, can be reached now.",
    504: "No answer in time.",
}
_OF_READING = (401, 403)


def describe(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The whole description of what these routes serve."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Diptych",
            "version": "1",
            "description": "Segment a picture with several models, and see how far they agree.",
        },
        "paths": {
            route.path: _path(route.path, route.endpoint)
            for route in routes
            if isinstance(route, Route)
            and isinstance(route.endpoint, Endpoint)
            and not route.path.endswith(":path}")
        },
        "x-websockets": {
            video_socket.PATH: "A video session: JSON and frames, as README describes them."
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(path: str, endpoint: Endpoint) -> dict[str, Any]:
    method = endpoint.methods[0].lower()
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": (endpoint.handler.__doc__ or "").strip(),
        "security": [] if endpoint.public else [{}, {"token": []}],
        "responses": {
            "200": {"description": "The answer.", "content": _content(path)},
            **{str(code): _refusal(code) for code in _codes(path, endpoint)},
        },
    }
    if "{model_id}" in path:
        model_id = {"name": "model_id", "in": "path", "required": True}
        operation["parameters"] = [model_id | {"schema": {"type": "string"}}]
    if path in _OPTIONS:
        operation["requestBody"] = _form(_OPTIONS[path].__name__)
    return {method: operation}


def _codes(path: str, endpoint: Endpoint) -> tuple[int, ...]:
    if endpoint.scope is Scope.SEGMENT:
        return tuple(_REFUSALS)
    if endpoint.public:
        return (503,) if path == "/readyz" else ()
    return (*_OF_READING, 404) if "{" in path else _OF_READING


def _content(path: str) -> dict[str, Any]:
    if path == "/metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    if path == "/api/compare/stream":
        return {events.MEDIA_TYPE: {"schema": {"type": "string"}}}
    kinds = {"/api/segment": "Result", "/api/compare": "Comparison", "/api/models": "Models"}
    name = kinds.get(path)
    return {"application/json": {"schema": {"$ref": _REF + name} if name else {"type": "object"}}}


def _refusal(code: int) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}
    return {"description": _REFUSALS[code], "content": content}


def _form(options: str) -> dict[str, Any]:
    picture = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP file"}
    digest = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "of one sent before"}
    schema = {
        "type": "object",
        "properties": {
            "image": picture,
            "image_sha256": digest,
            "options": {"$ref": _REF + options},
        },
        "oneOf": [{"required": ["image"]}, {"required": ["image_sha256"]}],
        "additionalProperties": False,
    }
    encoding = {"options": {"contentType": "application/json"}}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}},
    }


@functools.cache
def _schemas() -> dict[str, Any]:
    kinds = [(SegmentOptions, "validation"), (CompareOptions, "validation")]
    _, made = models_json_schema(kinds, ref_template=_REF + "{model}")  # type: ignore[arg-type]
    text = {"type": "string"}
    return {
        **made["$defs"],
        "Result": _object("model_id", "image_size", "image_sha256", "timings", "segments"),
        "Comparison": _object("results", "agreements"),
        "Models": {"type": "array", "items": _object("model_id", "card", "error")},
        "Problem": {
            **_object("type", "title", "status", "detail", "reason", "request_id"),
            "properties": {
                "status": {"type": "integer"},
                "detail": text,
                "reason": text,
                "request_id": text,
                "violations": {"type": "array", "items": _object("field", "description")},
                "retry_after_s": {"type": ["number", "null"]},
            },
        },
    }


def _object(*required: str) -> dict[str, Any]:
    return {"type": "object", "required": list(required)}
