"""Replaying a record: the same requests again, and what came out otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from diptych import Client, DiptychError, ModelNotFoundError, Provenance, SegmentResult

from .changes import Change, Tolerance, changes_between
from .record_file import Entry
from .recording import OF_THE_RUN, read_picture


@dataclass(frozen=True)
class Replayed:
    """What came of one recorded request."""

    entry: Entry
    answer: SegmentResult | None
    """``None`` if there is none now."""
    changes: tuple[Change, ...] = ()
    error: Exception | None = None
    """Why the picture could not be asked about: it is missing, or another one than it was; or why
    the server refused what it answered before."""
    data: bytes = field(default=b"", repr=False)
    """The picture's file, where there are changes to be drawn."""

    @property
    def same(self) -> bool:
        """Whether it was answered as it was recorded."""
        return self.error is None and not self.changes


def replay(
    client: Client, entries: Iterable[Entry], tolerance: Tolerance, *, model: str | None = None
) -> Iterator[Replayed]:
    """Ask again, one request after the other.

    Args:
        model: Asked in place of the recorded ones.

    Raises:
        DiptychError: the server cannot answer, whatever the picture, or does not know a model.
    """
    held: tuple[str, bytes] = ("", b"")  # requests about one picture follow one another
    for entry in entries:
        try:
            if held[0] != entry.picture.sha256:
                held = (entry.picture.sha256, _recorded_picture(entry))
            answer = entry.request.ask(client, model or entry.model_id, held[1])
        except (*OF_THE_RUN, ModelNotFoundError):
            raise
        except (DiptychError, OSError, ValueError) as error:
            yield Replayed(entry, None, error=error)
            continue
        changes = tuple(changes_between(entry.answer, answer, tolerance))
        yield Replayed(entry, answer, changes, data=held[1] if changes else b"")


def _recorded_picture(entry: Entry) -> bytes:
    data = read_picture(entry.picture.place)
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.picture.sha256:
        raise ValueError(
            f"{entry.picture.place} is another file than it was: expected SHA-256 "
            f"{entry.picture.sha256}, got {digest}"
        )
    return data


@dataclass
class Provenances:
    """What gave the answers, then and now, for each model that took part."""

    then: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    now: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, replayed: Replayed) -> None:
        """Take the provenance of one recorded and one new answer."""
        if replayed.answer is not None:
            _add(self.then, replayed.entry.answer.provenance)
            _add(self.now, replayed.answer.provenance)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Model, what, then, now; several values with commas between them."""
        return [
            (model, name, _joined(self.then, model, name), _joined(self.now, model, name))
            for model in sorted({*self.then, *self.now})
            for name in _SHOWN
        ]


_SHOWN = ("weights", "weights_sha256", "tier", "device", "dtype", "software")


def _add(known: dict[str, dict[str, set[str]]], told: Iterable[Provenance]) -> None:
    for one in told:
        values = known.setdefault(one.model_id, {})
        for name in _SHOWN:
            values.setdefault(name, set()).add(getattr(one, name))


def _joined(known: dict[str, dict[str, set[str]]], model: str, name: str) -> str:
    return ", ".join(sorted(known.get(model, {}).get(name, ())))
