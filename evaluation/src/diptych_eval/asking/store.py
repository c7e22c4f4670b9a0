"""Answers on the disk, a flushed line each, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from ..results import Answer, Cost

if TYPE_CHECKING:
    from typing_extensions import Self

FOLDER = "predictions"


@dataclass(frozen=True)
class Line:
    """Where an answer is, and what tells whether it may still be used."""

    key: str
    software: str
    failed: bool
    start: int
    """Of the line, in bytes from the begin of the file."""


class AnswerFile(Mapping[str, Answer]):
    """The answers of one model in one task by names of pictures or clips, read when asked for.

    A later line of a name replaces an earlier one. Of a file that was cut off, as by SIGKILL, the
    last line is dropped, and ``torn`` says so; a file of something else raises ``ValueError``.
    Not to be written by two processes at a time.

    Raises:
        OSError: the file cannot be read or written.
        ValueError: a line that is not the last is no answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        """Whether a line that was cut off was dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b")
        self._lines: dict[str, Line] = {}
        self._scan()

    def line(self, name: str) -> Line | None:
        """What is known of an answer without reading it again."""
        return self._lines.get(name)

    def add(self, answer: Answer) -> None:
        """Keep an answer; no end of this process can lose it once this returns."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(_encoded(answer))
        self._file.flush()
        self._lines[answer.name] = _line(vars(answer), start)

    def settle(self, names: Sequence[str]) -> None:
        """Leave one line for each of these names, in this order, and none of others."""
        kept = [name for name in names if name in self._lines]
        starts = [self._lines[name].start for name in kept]
        if starts == sorted(starts) and len(kept) == self._line_count():
            return
        fresh = self.path.with_name(f"{self.path.name}.new")
        with fresh.open("wb") as out:
            for name in kept:
                out.write(self._raw(name))
            out.flush()
            os.fsync(out.fileno())
        self._file.close()
        fresh.replace(self.path)
        self._file = self.path.open("a+b")
        self._scan()

    def close(self) -> None:
        """Close the file; answers cannot be read any more."""
        self._file.close()

    def __getitem__(self, name: str) -> Answer:
        raw = json.loads(self._raw(name))
        return Answer(**{**raw, "cost": Cost(**raw["cost"])})

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _raw(self, name: str) -> bytes:
        self._file.seek(self._lines[name].start)
        return self._file.readline()

    def _line_count(self) -> int:
        self._file.seek(0)
        return sum(1 for _ in self._file)

    def _scan(self) -> None:
        """Learn where lines begin, one line in memory at a time."""
        self._lines.clear()
        self._file.seek(0)
        start = 0
        for number, raw in enumerate(self._file, 1):
            if not raw.endswith(b"\n"):  # it may even be whole but for its end
                self._file.truncate(start)
                self.torn = True
                return
            try:
                document = json.loads(raw)
                self._lines[document["name"]] = _line(document, start)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}: line {number} is no answer ({error}): expected a file that only "
                    "this command writes; remove it to ask again"
                ) from error
            start += len(raw)


def answer_file(results: Path, model_id: str, task: str) -> AnswerFile:
    """The file of a model and task below a folder of results.

    Raises:
        ValueError: the model's id cannot be the name of a folder.
    """
    if model_id in ("", ".", "..") or any(char in model_id for char in "/\\:\0"):
        raise ValueError(f"model {model_id!r}: expected an id that can be the name of a folder")
    return AnswerFile(results / FOLDER / model_id / f"{task}.jsonl")


def key_of(picture_sha256: str, identity: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """SHA-256 of all that an answer depends on.

    Args:
        picture_sha256: of the file, or of all files of a clip.
        identity: weights, tier and software of what answered.
        options: what was asked, as JSON can hold it.
    """
    parts = [picture_sha256, dict(identity), dict(options)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _line(document: Mapping[str, Any], start: int) -> Line:
    return Line(document["key"], document["software"], bool(document["error"]), start)


def _encoded(answer: Answer) -> bytes:
    document = {**vars(answer), "cost": vars(answer.cost)}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"{text}\n".encode("utf-8", "surrogatepass")
