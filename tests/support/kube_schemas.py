"""Says what is wrong with Kubernetes objects by their schemas; runs in ``.tools/deploy``.

    python kube_schemas.py 1.30 1.37

Reads one JSON list of objects per line, and answers each with one line: a JSON list of sentences.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema
import kubernetes_validate

CORE = {"v1", "apps/v1", "batch/v1", "policy/v1", "autoscaling/v2", "networking.k8s.io/v1"}
CUSTOM = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
_NAME = {"type": "string", "minLength": 1}
_REFERENCE = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "group": {"type": "string"},
        "kind": _NAME,
        "namespace": _NAME,
        "name": _NAME,
        "sectionName": _NAME,
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "weight": {"type": "integer"},
    },
}
# No package has the schema of the Gateway API; this is the part of it that a route here may use.
GRPC_ROUTE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["parentRefs", "rules"],
    "properties": {
        "parentRefs": {"type": "array", "minItems": 1, "items": _REFERENCE},
        "hostnames": {"type": "array", "items": _NAME},
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "name": _NAME,
                    "backendRefs": {"type": "array", "items": {**_REFERENCE, "required": ["port"]}},
                },
            },
        },
    },
}


def faults(thing: dict[str, Any], versions: Sequence[str]) -> Iterator[str]:
    """What is wrong with one object, in the first version of Kubernetes that refuses it."""
    api, kind = thing.get("apiVersion"), thing.get("kind")
    where = f"{kind} {thing.get('metadata', {}).get('name')}"
    try:
        if api in CORE:
            for version in versions:
                kubernetes_validate.validate(thing, version, strict=True)
        elif api in CUSTOM:
            yield from (f"{where}: {line}" for line in custom(thing, CUSTOM[api]))
        elif (api, kind) == ("gateway.networking.k8s.io/v1", "GRPCRoute"):
            jsonschema.validate(thing["spec"], GRPC_ROUTE)
        else:
            yield f"{where}: no schema of {api}"
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        yield f"{where}: {'.'.join(map(str, error.path))}: {error.message}"
    except (kubernetes_validate.SchemaNotFoundError, AttributeError) as error:
        yield f"{where}: no such kind in {api}: {error}"


def custom(thing: dict[str, Any], module: str) -> Iterator[str]:
    """What a model refuses, and what it does not know: it leaves that out without a word."""
    kind = getattr(importlib.import_module(module), thing["kind"])
    try:
        read = kind.model_validate(thing)
    except ValueError as error:
        yield " ".join(str(error).split())
        return
    written = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    yield from lost(thing, written, thing["kind"])


def lost(before: Any, after: Any, path: str) -> Iterator[str]:
    """Keys and values of `before` that `after` does not have."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after:
                yield f"{path}.{key}: no such field"
            else:
                yield from lost(value, after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}.{index}")
    elif before != after:
        yield f"{path}: set to {before!r}, read as {after!r}"


def main() -> None:
    """Answer line by line."""
    for line in sys.stdin:
        found = [fault for thing in json.loads(line) for fault in faults(thing, sys.argv[1:])]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
