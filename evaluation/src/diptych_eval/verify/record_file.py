"""The file of a recorded run: a line for the run, one for each answer, and one that ends it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from diptych import SegmentResult
from diptych.segment import v1 as contract

from .answers import answer_from_json, answer_to_json
from .fields import Fields, RecordError
from .requests import Request

NAME = "record.jsonl"
PICTURES = "pictures"
_FORMAT, _VERSION = "diptych-verify", 1
_LONGEST_LINE = 128 * 1024 * 1024  # an answer has at most 64 MiB


@dataclass(frozen=True)
class PictureFile:
    """A picture that was asked about."""

    name: str
    """As it was given, for people."""
    sha256: str
    """Of the file, in hexadecimal."""
    place: Path
    """Where it was, or the copy of it in the record."""
    copied: bool


@dataclass(frozen=True)
class Entry:
    """One answer."""

    picture: PictureFile
    model_id: str
    request: Request
    answer: SegmentResult


@dataclass(frozen=True)
class Head:
    """What is true of a whole run."""

    client: str
    """Version of the SDK that asked."""
    contract: str
    """As ``contract_name`` says."""


def contract_name() -> str:
    """The contract that this SDK speaks: its package, and a digest of its messages and calls."""
    file = contract.SegmentRequest.DESCRIPTOR.file
    files, seen = [file, contract.SegmentVideoRequest.DESCRIPTOR.file], set()
    files.append(contract.CompareRequest.DESCRIPTOR.file)
    digest = hashlib.sha256()
    while files:
        one = files.pop()
        if one.name not in seen and one.package == file.package:
            seen.add(one.name)
            files += one.dependencies
    for name in sorted(seen):
        digest.update(file.pool.FindFileByName(name).serialized_pb)
    return f"{file.package} {digest.hexdigest()[:12]}"


class RecordWriter:
    """Writes a record; the file gets its name when all of it is written, or is not there.

    Args:
        folder: Of the record; made if it is missing.
        overwrite: Whether a record that is there may be replaced.

    Raises:
        FileExistsError: there is a record.
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path, head: Head, *, overwrite: bool = False) -> None:
        self.folder = folder
        self._target = folder / NAME
        if self._target.exists() and not overwrite:
            raise FileExistsError(
                f"{self._target} is there already: choose another folder, or say --overwrite"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._part = folder / f".{NAME}.{os.getpid()}.part"
        self._count = 0
        self._file: IO[bytes] = self._part.open("wb")
        self._line(
            {
                "format": _FORMAT,
                "version": _VERSION,
                "client": head.client,
                "contract": head.contract,
            }
        )

    def write(self, entry: Entry) -> None:
        """Add an answer.

        Raises:
            OSError: there is no room.
        """
        place = entry.picture.place
        self._count += 1
        self._line(
            {
                "picture": {
                    "name": entry.picture.name,
                    "sha256": entry.picture.sha256,
                    "copy" if entry.picture.copied else "path": place.name
                    if entry.picture.copied
                    else str(place),
                },
                "model_id": entry.model_id,
                "request": entry.request.to_json(),
                "answer": answer_to_json(entry.answer),
            }
        )

    def finish(self) -> None:
        """End the file and give it its name.

        Raises:
            OSError: there is no room.
        """
        self._line({"end": self._count})
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _line(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        try:
            self._file.write(text.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OSError(f"{self._target} cannot be written: {error.strerror}") from error


def read_record(
    folder: Path, *, one_model: bool = False
) -> tuple[Head, Callable[[], Iterator[Entry]]]:
    """A record: its head, and what reads its entries from the first on, each time anew.

    All of it is read once before, so that nothing is asked because of a record that is broken.

    Args:
        one_model: Refuse a record of several models.

    Raises:
        RecordError: it is cut, of a later version, or no record.
        OSError: it cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        raise RecordError(
            f"{folder}: expected a folder that `diptych verify record` wrote, with {NAME}"
        )
    models = set()
    for told, entry in _lines(path):
        head = told
        models |= {entry.model_id} if entry else set()
    if one_model and len(models) > 1:
        raise RecordError(f"{path}: it is of several models, {', '.join(sorted(models))}")
    return head, lambda: (entry for _, entry in _lines(path) if entry is not None)


def _lines(path: Path) -> Iterator[tuple[Head, Entry | None]]:
    """The head with each entry, and at the end with none; complete or an error."""
    head: Head | None = None
    count = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
            where = f"{path}, line {number}"
            if len(line) > _LONGEST_LINE:
                raise RecordError(f"{where}: expected at most {_LONGEST_LINE} bytes")
            if not line.endswith(b"\n"):
                raise RecordError(f"{where}: it is cut off in this line, after {count} answers")
            fields = Fields.of_line(where, line)
            if head is None:
                head = _head(fields)
            elif "end" in fields.values:
                _check_end(fields, count, rest=file.read(1))
                yield head, None
                return
            else:
                count += 1
                yield head, _entry(fields, path.parent)
    raise RecordError(f"{path}: it is cut off after {count} answers: its last line is missing")


def _head(fields: Fields) -> Head:
    if fields.values.get("format") != _FORMAT:
        raise RecordError(f"{fields.where}: this is no record of diptych verify")
    version = fields.whole("version")
    if version != _VERSION:
        raise fields.error("version", f"{_VERSION}, which this diptych-eval reads", version)
    return Head(fields.text("client"), fields.text("contract"))


def _check_end(fields: Fields, count: int, rest: bytes) -> None:
    if fields.whole("end") != count:
        raise fields.error("end", f"the number of answers before it, {count}", fields.values["end"])
    if rest:
        raise RecordError(f"{fields.where}: expected the end of the file after this line")


def _entry(fields: Fields, folder: Path) -> Entry:
    return Entry(
        _picture(fields.inside("picture"), folder),
        fields.text("model_id"),
        Request.from_json(fields.inside("request")),
        answer_from_json(fields.inside("answer")),
    )


def _picture(fields: Fields, folder: Path) -> PictureFile:
    copied = "copy" in fields.values
    told = fields.text("copy" if copied else "path")
    if copied and (not told or told in (".", "..") or Path(told).name != told or "\0" in told):
        raise fields.error("copy", f"the name of a file in {PICTURES}/", told)
    place = folder / PICTURES / told if copied else Path(told)
    return PictureFile(fields.text("name"), fields.text("sha256"), place, copied)
