"""The OpenAPI description of a gateway, and documents held against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

Seen = set[tuple[str, str, int]]
"""Method, path as in the description, status."""


class Description:
    """A description whose answers may hold what it names and nothing else.

    It leaves objects open, so that they may gain fields; a field that has been forgotten is found
    by closing them.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._schemas = {
            name: schema if "additionalProperties" in schema else _closed(schema)
            for name, schema in document["components"]["schemas"].items()
        }

    def documented(self) -> Seen:
        """Everything that may be answered."""
        return {
            (method.upper(), path, int(code))
            for path, method, operation in self.operations()
            for code in operation["responses"]
        }

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield path, method, operation

    def path_of(self, path: str) -> str:
        """The path of the description that an address belongs to."""
        if path.startswith("/api/models/"):
            return "/api/models/{model_id}"
        return path

    def content(self, method: str, path: str, status: int) -> dict[str, Any]:
        """The media type of an answer and what is said of it."""
        responses = self.document["paths"][self.path_of(path)][method.lower()]["responses"]
        content: dict[str, Any] = responses[str(status)]["content"]
        return content

    def check(self, schema: dict[str, Any], document: object) -> None:
        """Raises ``jsonschema_rs.ValidationError`` if the document is not as the schema says."""
        whole = {**schema, "components": {"schemas": self._schemas}}
        jsonschema_rs.Draft202012Validator(whole).validate(document)

    def check_named(self, name: str, document: object) -> None:
        self.check({"$ref": f"#/components/schemas/{name}"}, document)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False} if "properties" in schema else schema
