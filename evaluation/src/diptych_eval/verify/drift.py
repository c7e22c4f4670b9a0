"""A record replayed as a whole: what is as it was, what is not, and pictures of that."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from diptych import Client, DiptychError

from .changes import Tolerance
from .drawing import drawn
from .record_file import contract_name, read_record
from .replaying import Provenances, Replayed, replay

MOVED = "moved"
"""Folder of the pictures, inside the record."""
MAX_DRAWN = 200
_OURS = re.compile(r"\d{4}-.*\.png")


@dataclass(frozen=True)
class Drift:
    """A request that is not answered as it was."""

    picture: str
    model_id: str
    request: str
    changes: tuple[str, ...]
    """A few words each, with figures; or why nothing could be compared."""
    compared: bool
    """``False`` if the picture is missing or another one, or was refused now."""
    drawn: Path | None = None


@dataclass
class Replay:
    """What came of a record."""

    asked: int = 0
    same: int = 0
    drifts: list[Drift] = field(default_factory=list)
    provenance: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Model, what, then, now. The SDK and the contract belong to no model."""
    not_drawn: int = 0
    """Changes without a picture of them: there are ``MAX_DRAWN`` already."""


def replay_record(
    client: Client,
    folder: Path,
    tolerance: Tolerance,
    *,
    model: str | None = None,
    drawings: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Replay:
    """Ask everything again, and draw what changed.

    Args:
        folder: Of the record.
        model: Asked in place of the recorded one; the record must be of a single model.
        drawings: Where pictures are written, in place of those of an earlier replay; inside the
            record if not given.
        advance: Called after each request.

    Raises:
        RecordError: the record is broken, or of several models where one is replaced.
        DiptychError: the server cannot answer, whatever the picture.
        OSError: the record cannot be read, or a picture not be written.
    """
    head, entries = read_record(folder, one_model=model is not None)
    place = folder / MOVED if drawings is None else drawings
    for earlier in place.glob("*.png") if place.is_dir() else ():
        if _OURS.fullmatch(earlier.name):  # pictures of what may be as it was by now
            earlier.unlink()
    found, provenances = Replay(), Provenances()
    for one in replay(client, entries(), tolerance, model=model):
        provenances.add(one)
        found.asked += 1
        if one.same:
            found.same += 1
        else:
            found.drifts.append(_drift(one, place, found))
        advance()
    found.provenance = [
        ("", "client", head.client, version("diptych")),
        ("", "contract", head.contract, contract_name()),
        *provenances.rows(),
    ]
    return found


def _drift(one: Replayed, place: Path, found: Replay) -> Drift:
    entry = one.entry
    texts = [change.text for change in one.changes] or [" ".join(str(one.error).split())]
    path = None
    if one.changes and len(found.drifts) < MAX_DRAWN:
        name = f"{len(found.drifts):04d}-{entry.picture.name}-{entry.model_id}-{entry.request.name}"
        path = place / f"{_plain(name)}.png"
        try:
            data = drawn(one)
        except (DiptychError, ValueError) as error:  # what the service reads may be none here
            texts.append(f"cannot be drawn: {error}")
            path = None
        else:
            _write(path, data)
    elif one.changes:
        found.not_drawn += 1
    return Drift(
        entry.picture.name, entry.model_id, entry.request.name, tuple(texts), not one.error, path
    )


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror}") from error


def _plain(name: str) -> str:
    """A name for a file, of what every file system takes; the end of it if it is long."""
    number, _, rest = name.partition("-")
    return f"{number}-{re.sub(r'[^A-Za-z0-9._-]+', '_', rest)[-150:]}"
