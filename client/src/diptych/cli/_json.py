"""JSON on stdout."""

from __future__ import annotations

import json

import click


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Prints a document to stdout; without ``indent`` it is one line."""
    click.echo(json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False))
