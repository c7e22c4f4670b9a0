"""JSON on stdout."""

from __future__ import annotations

import sys

import click

from ..documents.results import json_text


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Prints a document to stdout; without ``indent`` it is one line."""
    click.echo(json_text(document, indent=indent, encoding=sys.stdout.encoding))
