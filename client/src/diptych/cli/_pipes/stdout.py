"""One file to stdout, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from ...formats import format_of

STDOUT = "-"


def check_stdout(what: str, *, binary: bool) -> None:
    """See that stdout may have it.

    Raises:
        click.BadParameter: it is a terminal, which has no use for bytes.
    """
    if binary and sys.stdout.isatty():
        raise click.BadParameter(
            f"{what} is nothing for a terminal: expected a pipe, or a file behind >.",
            param_hint="--out",
        )


def shown_where(
    out: str | None, as_json: bool, formats: Sequence[str]
) -> tuple[str | None, bool, bool]:
    """Where files go, whether JSON is printed, and whether anything but ``--out -`` is.

    Raises:
        click.UsageError: stdout would have two things.
    """
    if out != STDOUT:
        return out, as_json, True
    if as_json and formats:
        raise click.UsageError("--out -: expected --json or --format, got both for stdout.")
    return (None, True, True) if as_json else (out, False, False)


def print_bytes(data: bytes) -> None:
    """Prints bytes to stdout as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_only(name: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Prints the file that a format makes, without what lies beside it.

    Raises:
        click.ClickException: there are several, or none.
    """
    beside = format_of(name).beside
    found = [(file, data) for file, data in files if file not in beside]
    if len(found) != 1:
        hint = "; indexed is one PNG a picture" if name == "masks" else ""
        raise click.ClickException(
            f"--format {name}: expected one file for stdout, got {len(found)}: "
            f"write them into a folder, with --out FOLDER{hint}"
        )
    print_bytes(found[0][1])
