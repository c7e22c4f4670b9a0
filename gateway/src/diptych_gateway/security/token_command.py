"""``diptych-gateway token``: make a token and its entry for the tokens file."""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .limits import NAMES, WHOLE
from .tokens import ALL_SCOPES, FILE_VARIABLE, NAME, Scope, parse_tokens

_PREFIX = "diptych_"  # lets scanners for leaked secrets know one when they see it
_BYTES = 32


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "token",
        help="make a token for callers",
        description="Print a new token, once, and add its entry, which is only a hash of it, to "
        f"the tokens file. Without --file and {FILE_VARIABLE} the entry is printed to stderr.",
    )
    parser.add_argument("name", metavar="NAME", help="what logs call its owner")
    parser.add_argument("--days", type=_days, metavar="N", help="valid for so long; else for ever")
    parser.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        choices=[scope.value for scope in Scope],
        help="what it is for, may be repeated; else for everything",
    )
    for limit in NAMES:
        parser.add_argument(
            f"--{limit.replace('_', '-')}",
            type=int if limit in WHOLE else float,
            metavar="N",
            help="a limit; else that of [limits] in the file, if it has one",
        )
    parser.add_argument("--file", type=Path, metavar="FILE", help=f"instead of {FILE_VARIABLE}")


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line says.

    Raises:
        OSError: the file cannot be written.
        ValueError: the name or a limit cannot be used, or the file holds something else.
    """
    token = _PREFIX + secrets.token_urlsafe(_BYTES)
    scopes = [Scope(scope) for scope in arguments.scopes or ALL_SCOPES]
    given = {name: getattr(arguments, name) for name in NAMES}
    limits = {name: value for name, value in given.items() if value is not None}
    entry = make_entry(arguments.name, token, days=arguments.days, scopes=scopes, limits=limits)
    path = arguments.file or os.environ.get(FILE_VARIABLE)
    if path:
        append(Path(path), entry)
        sys.stderr.write(f"added {arguments.name!r} to {path}; the token is shown only now:\n")
    else:
        parse_tokens(entry)
        sys.stderr.write(f"for the tokens file:\n\n{entry}\nthe token is shown only now:\n")
    sys.stdout.write(f"{token}\n")


def make_entry(
    name: str,
    token: str,
    *,
    days: int | None = None,
    scopes: Collection[Scope] = ALL_SCOPES,
    limits: Mapping[str, float] = {},
) -> str:
    """Write the table of a token, as TOML; ``limits`` are fields of ``Limits``.

    Raises:
        ValueError: the name cannot be used.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"expected a name of letters, digits, - and _, up to 64, got {name!r}")
    lines = [f"[tokens.{name}]", f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"']
    if days is not None:
        expires = datetime.now(UTC) + timedelta(days=days)
        lines.append(f"expires = {expires:%Y-%m-%dT%H:%M:%SZ}")
    if set(scopes) != ALL_SCOPES:
        listed = ", ".join(f'"{scope}"' for scope in Scope if scope in scopes)
        lines.append(f"scopes = [{listed}]")
    lines += [f"{limit} = {value}" for limit, value in limits.items()]
    return "\n".join(lines) + "\n"


def append(path: Path, entry: str) -> None:
    """Add an entry to a file, which is made, for its owner alone, if it is not there.

    Raises:
        OSError: it cannot be read or written.
        ValueError: it would not be a tokens file, or have the name twice.
    """
    before = path.read_text() if path.exists() else ""
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    try:
        parse_tokens(before + gap + entry)
    except ValueError as error:
        raise ValueError(f"{path}: nothing is added: {error}") from error
    # In place and not by a new file: single files that a container mounts keep their identity.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        data = (gap + entry).encode()
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)  # a part of it would spoil what was there
            raise OSError(errno.ENOSPC, f"{path}: no room for the entry, nothing is added")
    finally:
        os.close(descriptor)


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36500:
        raise argparse.ArgumentTypeError(f"expected 1 to 36500 days, got {text}")
    return days
