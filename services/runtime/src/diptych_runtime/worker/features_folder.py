"""Features on a disk, so that a picture of yesterday needs no encoder today.

``FOLDER/MAKER/ab/SHA256-KIND.features``: one file for each picture and kind of features. ``MAKER``
is a digest of everything that features depend on beside the picture, so those of other weights,
another tier or another release are never found. A file is a line of JSON, then the blocks that
``KeepingEngine.pack`` gave, each at a multiple of 64 bytes; the line has their checksum.

Written behind by one thread, to a file of another name that is renamed: a reader sees a whole file
or none. Several processes may share a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog

from ..engine.protocol import Engine, Features, KeepingEngine, LoadedModel, LoadError
from ..settings import RuntimeSettings

_SUFFIX, _UNFINISHED = ".features", ".writing"
_FORM = 1
_ALIGN = 64
_MAX_HEAD_BYTES = 64 * 1024
_WAITING = 8
"""Features that may wait for the disk; further ones are not written."""
_LOW_WATER = 0.9
"""Share of the budget that is left when files had to go: they go in bunches."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class KeptPicture:
    """What there is of a picture: features of a kind, its size (height, width) and what is wrong
    with its file."""

    kind: str
    features: Features
    size: tuple[int, int]
    warnings: tuple[str, ...]


class FeaturesFolder:
    """Features of one model on a disk; for any thread.

    Args:
        folder: It is made if it is not there.
        max_bytes: All files in it together, of every model: those that were not used for the
            longest time go first.
        engine: Packs and unpacks.
        loaded: Says what the features depend on.

    Raises:
        LoadError: the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, max_bytes: int, engine: KeepingEngine, loaded: LoadedModel
    ) -> None:
        self._folder, self._max_bytes, self._engine = folder, max_bytes, engine
        self._maker = maker(loaded)
        self._own = folder / hashlib.sha256(self._maker.encode()).hexdigest()[:16]
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._own):
                pass
        except OSError as error:
            why = f"DIPTYCH_FEATURES_DIR={str(folder)!r}: expected a folder to write to"
            raise LoadError(f"{why}, got {error.strerror}") from error
        self._waiting: queue.Queue[tuple[str, KeptPicture]] = queue.Queue(_WAITING)
        threading.Thread(target=self._write_all, name="features", daemon=True).start()

    def read(self, digest: str, kind: str) -> KeptPicture | None:
        """Return what is kept of a picture, the SHA-256 of whose file is ``digest``.

        A file that is damaged, or not of this model, is deleted, and as if it had not been there.
        """
        path = self._path(digest, kind)
        try:
            with path.open("rb") as file:
                line = file.readline(_MAX_HEAD_BYTES)
                body = bytearray(max(os.fstat(file.fileno()).st_size - len(line), 0))
                if file.readinto(body) != len(body):
                    raise ValueError("it became shorter")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("features not read", file=str(path), error=str(error))
            return None
        try:
            picture = self._unpacked(line, body, digest, kind)
        except Exception as error:
            _log.warning("damaged features deleted", file=str(path), error=str(error))
            _delete(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now
        return picture

    def write(self, digest: str, picture: KeptPicture) -> None:
        """Keep features of a picture, soon; not if too many wait for the disk already."""
        try:
            self._waiting.put_nowait((digest, picture))
        except queue.Full:
            _log.info("features not kept: the disk is slower than the encoder", sha256=digest)

    def flush(self) -> None:
        """Wait until everything that waits is written."""
        self._waiting.join()

    def _path(self, digest: str, kind: str) -> Path:
        return self._own / digest[:2] / f"{digest}-{kind}{_SUFFIX}"

    def _unpacked(self, line: bytes, body: bytearray, digest: str, kind: str) -> KeptPicture:
        head = json.loads(line)
        expected = _identity(self._maker, digest, kind)
        if {name: head[name] for name in expected} != expected:
            raise ValueError("it is of another picture or model")
        if zlib.crc32(body) != head["blocks_crc32"]:
            raise ValueError("its checksum is another one")
        starts = _starts(head["blocks"])
        parts = zip(starts[:-1], head["blocks"], strict=True)
        blocks = [memoryview(body)[start : start + size] for start, size in parts]
        features = self._engine.unpack(kind, head["note"], blocks)
        height, width = head["size"]
        return KeptPicture(kind, features, (height, width), tuple(head["warnings"]))

    def _write_all(self) -> None:
        while True:
            digest, picture = self._waiting.get()
            try:
                self._write(digest, picture)
            except Exception as error:
                _log.warning("features not kept", sha256=digest, error=str(error))
            finally:
                del picture  # or it would stay until the next one comes
                self._waiting.task_done()

    def _write(self, digest: str, picture: KeptPicture) -> None:
        path = self._path(digest, picture.kind)
        note, blocks = self._engine.pack(picture.features)
        sizes = [len(block) for block in blocks]
        padded = [part for block in blocks for part in (block, bytes(-len(block) % _ALIGN))]
        check = 0
        for part in padded:
            check = zlib.crc32(part, check)
        head = {
            **_identity(self._maker, digest, picture.kind),
            "size": picture.size,
            "warnings": picture.warnings,
            "note": note,
            "blocks": sizes,
            "blocks_crc32": check,
        }
        line = json.dumps(head).encode()
        line += b" " * (-(len(line) + 1) % _ALIGN) + b"\n"
        self._make_room(len(line) + _starts(sizes)[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=_UNFINISHED, delete=False) as file:
            try:
                file.write(line)
                file.writelines(padded)
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                _delete(Path(file.name))
                raise

    def _make_room(self, nbytes: int) -> None:
        """Delete what was not used for the longest time, until so much more may be written.

        The folder is looked at anew each time: other processes write to it, too.
        """
        if nbytes > self._max_bytes:
            raise ValueError(f"expected at most {self._max_bytes} bytes, got {nbytes}")
        files = []
        for path in self._folder.rglob("*.*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                files.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        if total + nbytes <= self._max_bytes:
            return
        wanted = min(int(self._max_bytes * _LOW_WATER), self._max_bytes - nbytes)
        for _, size, path in sorted(files):
            if total <= wanted:
                return
            _delete(path)
            total -= size


def maker(loaded: LoadedModel) -> str:
    """Name everything that features depend on beside the picture."""
    facts = {
        "weights": [weights.sha256.hex() for weights in loaded.weights],
        "tier": loaded.tier,
        "dtype": loaded.dtype,
        "device": loaded.device.partition(":")[0],
        "software": loaded.software,
        "network": [(fact.name, fact.value) for fact in loaded.facts],
    }
    return json.dumps(facts, sort_keys=True)


def features_folder(
    settings: RuntimeSettings, engine: Engine, loaded: LoadedModel
) -> FeaturesFolder | None:
    """Open the folder of the settings for a model; ``None`` without one, or for an engine whose
    features cannot be kept.

    Raises:
        LoadError: the folder cannot be written to.
    """
    folder = settings.features_dir
    if folder is None:
        return None
    if not isinstance(engine, KeepingEngine):
        _log.info("this model's features are not kept on the disk", folder=str(folder))
        return None
    return FeaturesFolder(folder, settings.features_bytes, engine, loaded)


def _identity(made_by: str, digest: str, kind: str) -> dict[str, object]:
    return {"form": _FORM, "maker": made_by, "sha256": digest, "kind": kind}


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each block begins, and where the last one ends."""
    return [0, *accumulate(-(-size // _ALIGN) * _ALIGN for size in sizes)]


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
