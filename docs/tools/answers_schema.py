"""The JSON Schema of answers, and its tables: read off the types of the documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from diptych.documents.results import VERSION
from diptych.documents.types import (
    ComparisonDocument,
    FailureDocument,
    ModelDocument,
    ResultDocument,
    VideoFrameDocument,
)
from diptych_gateway.http.description.schemas import Schema, Schemas

REF = "#/$defs/"
ANSWERS = (ResultDocument, ComparisonDocument, VideoFrameDocument, FailureDocument)
NAME = f"schemas/answers-{VERSION}.json"


def schema() -> Schema:
    """Make the schema of every answer; the parts have the names of the OpenAPI description."""
    made = Schemas(ref=REF)
    kinds = [made.of(kind) for kind in ANSWERS]
    models = {"type": "array", "items": made.of(ModelDocument)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:diptych:answers:{VERSION}",
        "title": "Answers of Diptych",
        "description": "What `--json` prints, HTTP answers and `to_json()` writes.",
        "anyOf": [*kinds, models],
        "$defs": made.by_name,
    }


def schema_text() -> str:
    """Write it as the file that is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _table(name: str, but: str = "") -> str:
    """Of an object's fields, without those that are the same in another one."""
    made = schema()["$defs"]
    whole, known = made[name], made.get(but, {"properties": {}})["properties"]
    lines = ["| field | type | meaning |", "|---|---|---|"]
    for field, part in whole["properties"].items():
        if known.get(field) == part:
            continue
        kind = " or ".join(_kinds(part))
        optional = "" if field in whole["required"] else "; may be missing"
        meaning = " ".join(part.get("description", "").split())
        lines.append(f"| `{field}` | {kind}{optional} | {meaning} |")
    return "\n".join(lines) + "\n"


def _kinds(part: Mapping[str, Any]) -> Iterator[str]:
    """Name the types that a field may have, as a person says them."""
    if "anyOf" in part:
        for one in part["anyOf"]:
            yield from _kinds(one)
    elif "$ref" in part:
        yield part["$ref"].removeprefix(REF)
    elif part["type"] != "array":
        yield {"object": "map"}.get(part["type"], part["type"])
    elif part["items"]:
        yield f"list of {' or '.join(_kinds(part['items']))}"
    else:
        yield f"{len(part['prefixItems'])} numbers"


FILES: Mapping[str, Callable[[], str]] = {NAME: schema_text}
TABLES: Mapping[str, Callable[[], str]] = {
    "answers-result": lambda: _table("Result"),
    "answers-segment": lambda: _table("Segment"),
    "answers-comparison": lambda: _table("Comparison"),
    "answers-outcome": lambda: _table("Outcome"),
    "answers-agreement": lambda: _table("Agreement"),
    "answers-frame": lambda: _table("VideoFrame"),
    "answers-object": lambda: _table("VideoObject", but="Segment"),
    "answers-failure": lambda: _table("Failure"),
    "answers-error": lambda: _table("Error"),
}
