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

try:
    import fcntl
except ImportError:  # on Windows nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from typing_extensions import Self

FOLDER = "predictions"
_IDENTITY = ("tier", "weights_sha256", "software")


@dataclass(frozen=True)
class Line:
    """Where an answer is, and what tells whether it may still be used."""

    key: str
    identity: Mapping[str, str]
    """See ``identity_of``."""
    failed: bool
    start: int
    """Of the line, in bytes from the begin of the file."""


class AnswerFile(Mapping[str, Answer]):
    """The answers of one model in one task by names of pictures or clips, read when asked for.

    A later line of a name replaces an earlier one. Of a file that was cut off, as by SIGKILL, the
    last line does not count, and ``torn`` says so.

    Raises:
        OSError: the file cannot be read or made.
        ValueError: a line that is not the last is no answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        """Whether a line that was cut off does not count."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b")
        self._lines: dict[str, Line] = {}
        self._line_count = self._end = 0
        self._mine = False
        self._scan()

    def line(self, name: str) -> Line | None:
        """What is known of an answer without reading it again."""
        return self._lines.get(name)

    def add(self, answer: Answer) -> None:
        """Keep an answer; no end of this process can lose it once this returns.

        Raises:
            OSError: the file cannot be written, or another run writes it.
        """
        self._take()
        encoded = _encoded(answer)
        self._file.write(encoded)
        self._file.flush()
        self._lines[answer.name] = _line(vars(answer), self._end)
        self._line_count += 1
        self._end += len(encoded)

    def settle(self, names: Sequence[str]) -> None:
        """Leave one line for each name, these first and in this order."""
        first = [name for name in names if name in self._lines]
        kept = [*first, *(name for name in self._lines if name not in set(first))]
        starts = [self._lines[name].start for name in kept]
        if starts == sorted(starts) and len(kept) == self._line_count:
            return
        self._take()
        fresh = self.path.with_name(f"{self.path.name}.new")
        with fresh.open("wb") as out:
            for name in kept:
                out.write(self._raw(name))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.path)
        self._file.close()
        self._file, self._mine = self.path.open("a+b"), False
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

    def _take(self) -> None:
        """Before the first write: nobody else writes, and what was cut off is gone."""
        if self._mine:
            return
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    error.errno, "another run writes its answers there", str(self.path)
                ) from error
        self._file.truncate(self._end)
        self._mine = True

    def _scan(self) -> None:
        """Learn where lines begin, one line in memory at a time."""
        self._lines.clear()
        self._line_count = self._end = 0
        self._file.seek(0)
        for number, raw in enumerate(self._file, 1):
            if not raw.endswith(b"\n"):  # it may even be whole but for its end
                self.torn = True
                return
            try:
                document = json.loads(raw)
                self._lines[document["name"]] = _line(document, self._end)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}: line {number} is no answer ({error}): expected a file that only "
                    "this command writes; remove it to ask again"
                ) from error
            self._line_count = number
            self._end += len(raw)


def answer_file(results: Path, model_id: str, task: str) -> AnswerFile:
    """Open the file of a model and task below a folder of results; it is made if need be.

    Raises:
        OSError, ValueError: as ``AnswerFile``, or the model's id cannot be the name of a folder.
    """
    return AnswerFile(_path(results, model_id, task))


def kept_names(results: Path, model_id: str, task: str) -> frozenset[str]:
    """Names of pictures or clips that were answered; none if there is no file, and none is made.

    Raises:
        OSError, ValueError: as ``answer_file``.
    """
    path = _path(results, model_id, task)
    if not path.exists():
        return frozenset()
    with AnswerFile(path) as file:
        lines = {name: file.line(name) for name in file}
    return frozenset(name for name, line in lines.items() if line and not line.failed)


def key_of(picture_sha256: str, identity: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """SHA-256 of all that an answer depends on.

    Args:
        picture_sha256: of the file, or of all files of a clip.
        identity: weights, tier and software of what answered.
        options: what was asked, as JSON can hold it.
    """
    parts = [picture_sha256, dict(identity), dict(options)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity_of(answer: Answer | Mapping[str, Any]) -> dict[str, str]:
    """What answered: ``tier``, ``weights_sha256`` and ``software``."""
    fields = answer if isinstance(answer, Mapping) else vars(answer)
    return {name: str(fields[name]) for name in _IDENTITY}


def _path(results: Path, model_id: str, task: str) -> Path:
    if model_id in ("", ".", "..") or any(char in model_id for char in "/\\:\0"):
        raise ValueError(f"model {model_id!r}: expected an id that can be the name of a folder")
    return results / FOLDER / model_id / f"{task}.jsonl"


def _line(document: Mapping[str, Any], start: int) -> Line:
    return Line(document["key"], identity_of(document), bool(document["error"]), start)


def _encoded(answer: Answer) -> bytes:
    document = {**vars(answer), "cost": vars(answer.cost)}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"{text}\n".encode("utf-8", "surrogatepass")
