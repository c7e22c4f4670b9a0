"""Published weights: fetched once, checked in full, converted to safetensors, kept in a cache.

A checkpoint is a pickle, which can run code when it is read. It is therefore opened only here, in
a process that is thrown away; services load the safetensors file that this process leaves.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from .conversion import convert
from .download import WeightsError, discard, download, write_json

_SIZE_TOLERANCE = 0.01  # publishers round
_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


@dataclass(frozen=True)
class OfficialWeights:
    """A published checkpoint.

    ``size_bytes`` is the size of the download as its publisher states it, right to 1 %; ``sha256``
    the digest of the download in hex, ``None`` where the publisher does not say.
    """

    name: str
    url: str
    size_bytes: int
    parameter_count: int
    sha256: str | None = None


@dataclass(frozen=True)
class StoredWeights:
    """A safetensors file in the cache: where it is, its SHA-256 digest, where its original came
    from, and its size."""

    path: Path
    sha256: bytes
    url: str
    size_bytes: int


def cache_dir() -> Path:
    """Return where weights are kept: ``DIPTYCH_WEIGHTS_DIR``, else the user's cache directory."""
    chosen = os.environ.get("DIPTYCH_WEIGHTS_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("diptych") / "weights"


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pull(
    weights: OfficialWeights,
    *,
    converter: Sequence[str],
    directory: Path | None = None,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Fetch, check and convert weights; returns the safetensors file.

    Does nothing but say so if they are there and whole. Goes on with a download that broke. Two
    pulls of the same weights wait for one another.

    Args:
        weights: What to fetch. ``DIPTYCH_WEIGHTS_MIRROR`` replaces all of its address but the
            file name.
        converter: Command that, with the checkpoint and the output path added, writes safetensors.
            Empty if the download is safetensors already.
        directory: Where to keep it; ``cache_dir()`` by default.
        progress: Draw a progress bar on stderr.
        say: Takes one sentence per thing done; written to stderr by default.

    Raises:
        WeightsError: refused or broken download, wrong digest or size, no room, failed conversion.
    """
    say = say or _say_to_stderr
    directory = directory or cache_dir()
    target = _target(directory, weights.name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _only_one(directory / f"{weights.name}.lock", say):
            return _pull(weights, target, converter=converter, progress=progress, say=say)
    except OSError as error:
        raise WeightsError(
            f"cannot keep weights in {directory}: {error.strerror or error}; make room, make it "
            "writable or set DIPTYCH_WEIGHTS_DIR"
        ) from error


def is_stored(weights: OfficialWeights, directory: Path | None = None) -> bool:
    """Whether ``pull`` would find them there and whole, and download nothing."""
    target = _target(directory or cache_dir(), weights.name)
    known = _read_record(target)
    return known is not None and _is_whole(target, known, weights)


def locate(name: str, *, command: str, directory: Path | None = None) -> StoredWeights:
    """Find the stored weights of a name, and check their digest.

    Args:
        name: Such as ``coco-v1``.
        command: What a person types to get them, named in the error.
        directory: Where they are kept; ``cache_dir()`` by default.

    Raises:
        WeightsError: they are not there, or not as they were when they were stored.
    """
    target = _target(directory or cache_dir(), name)
    known = _read_record(target)
    if known is None or not target.exists():
        raise WeightsError(f"the weights {name!r} are not in {target.parent}; run: {command}")
    digest = file_sha256(target)
    if digest != known.get("safetensors_sha256"):
        raise WeightsError(
            f"{target} is not the file that was stored (its SHA-256 is {digest[:16]}...); "
            f"delete it and run: {command}"
        )
    url = str(known.get("url", ""))
    return StoredWeights(target, bytes.fromhex(digest), url, target.stat().st_size)


def _pull(
    weights: OfficialWeights,
    target: Path,
    *,
    converter: Sequence[str],
    progress: bool,
    say: Callable[[str], None],
) -> Path:
    if is_stored(weights, target.parent):
        say(f"{weights.name} is already there: {target}")
        return target
    known = _read_record(target)
    url = _address(weights.url)
    part = target.with_name(f"{weights.name}.part")
    _check_own(target, known, part)
    _check_room(target.parent, 2 * weights.size_bytes)
    most = int((1 + _SIZE_TOLERANCE) * weights.size_bytes)
    download(url, part, max_bytes=most, progress=progress, label=weights.name, say=say)
    digest = _check_download(part, weights, known, say)
    say(f"converting {weights.name} to safetensors")
    size = part.stat().st_size
    if known is not None and target.exists():
        _set_aside(target, say)
    convert(part, target, converter=converter)
    record = {
        "name": weights.name,
        "url": url,
        "sha256": digest,
        "size_bytes": size,
        "safetensors_sha256": file_sha256(target),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write_json(_record_path(target), record)
    discard(part)
    say(f"{weights.name} is ready: {target}")
    return target


def _check_download(
    part: Path,
    weights: OfficialWeights,
    known: dict[str, object] | None,
    say: Callable[[str], None],
) -> str:
    """Compute the digest of a download, and check it against all that is known of it."""
    size = part.stat().st_size
    if abs(size - weights.size_bytes) > _SIZE_TOLERANCE * weights.size_bytes:
        discard(part)
        raise WeightsError(
            f"{weights.name} should have about {weights.size_bytes} bytes, {size} came; check "
            "that the address is right and nothing in between replaces the file"
        )
    digest = file_sha256(part)
    wanted, origin = _expected_digest(weights, known)
    if not digest.startswith(wanted):
        discard(part)
        raise WeightsError(
            f"the SHA-256 of {weights.name} is {digest}, expected {wanted} ({origin}); the file "
            "was damaged or replaced on its way, do not use it and try another network"
        )
    if weights.sha256 is not None:
        say(f"SHA-256 {digest} checked")
    else:
        partly = f"its first {len(wanted)} digits were checked ({origin})" if wanted else ""
        say(
            f"no full SHA-256 is published for {weights.name}; "
            + (f"{partly}; " if partly else "")
            + f"recorded that of this download: {digest}"
        )
    return digest


def _expected_digest(weights: OfficialWeights, known: dict[str, object] | None) -> tuple[str, str]:
    if weights.sha256 is not None:
        return weights.sha256.lower(), "pinned in this release"
    if known is not None and known.get("url") == _address(weights.url):
        return str(known.get("sha256", "")), "recorded at an earlier download"
    in_name = _DIGEST_IN_NAME.search(weights.url)
    return (in_name[1], "part of the file's name") if in_name else ("", "")


def _is_whole(target: Path, known: dict[str, object], weights: OfficialWeights) -> bool:
    if weights.sha256 is not None and known.get("sha256") != weights.sha256.lower():
        return False
    return target.exists() and file_sha256(target) == known.get("safetensors_sha256")


def _check_own(target: Path, known: dict[str, object] | None, part: Path) -> None:
    """Refuse to write over what no pull has left, such as somebody's own weights of that name."""
    if known is not None and "safetensors_sha256" in known:
        return
    # A pull that was killed leaves the weights before it writes their record, and the download.
    files = (_record_path(target),) if part.exists() else (_record_path(target), target)
    for path in files:
        if os.path.lexists(path):
            raise WeightsError(
                f"{path} was not written by this command and is not overwritten; move it away or "
                "set DIPTYCH_WEIGHTS_DIR to another folder"
            )


def _set_aside(target: Path, say: Callable[[str], None]) -> None:
    """Keep a file that is not what was stored: damage, or somebody's work."""
    free = (target.with_name(f"{target.name}.changed-{number}") for number in itertools.count(1))
    aside = next(path for path in free if not os.path.lexists(path))
    target.rename(aside)
    say(f"{target} was not as it was stored; it is kept as {aside.name}")


def _address(url: str) -> str:
    mirror = os.environ.get("DIPTYCH_WEIGHTS_MIRROR")
    return f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[-1]}" if mirror else url


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise WeightsError(
            f"{directory} has {free >> 20} MiB free, {needed >> 20} MiB are needed; make room or "
            "set DIPTYCH_WEIGHTS_DIR to another disk"
        )


def _target(directory: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise WeightsError(f"{name!r} is not a name of weights")
    return directory / f"{name}.safetensors"


def _record_path(target: Path) -> Path:
    return target.with_suffix(".json")


def _read_record(target: Path) -> dict[str, object] | None:
    try:
        record = json.loads(_record_path(target).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@contextlib.contextmanager
def _only_one(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock that the operating system drops with the process, so none is ever left over."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is getting the same weights; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say_to_stderr(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
