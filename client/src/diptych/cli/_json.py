"""JSON on stdout."""

from __future__ import annotations

import json
import sys

import click


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Prints a document to stdout; without ``indent`` it is one line.

    Names of files that stdout's encoding has no characters for are escaped, so that the document
    is one whatever a name is made of.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(document, indent=indent, allow_nan=False)
    click.echo(text)
