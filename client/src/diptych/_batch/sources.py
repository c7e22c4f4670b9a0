"""The pictures of a batch: of a folder, a list, a pattern or a bucket, each once, in order."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._arguments import encode_image
from .._pictures.images import IMAGE_SUFFIXES
from .._types.errors import MessageTooLargeError
from ..limits import MAX_REQUEST_BYTES
from .storage import is_url, local_path, puts_whole, reached, said

_LONGEST_PATH = 4096
_SENT_UNCHANGED = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is to be asked."""

    path: str
    """As it is written down: what the source calls it, an address of fsspec for a bucket.
    Bytes of a name that are no UTF-8 are escaped as ``\\udcff``."""
    place: str
    """What opens it, in its file system."""
    fs: Any = None
    """Its file system; ``None`` for a file of this machine."""
    size: int | None = None
    """Bytes, if the listing says so."""

    def read(self) -> bytes:
        """The bytes to send.

        Raises:
            OSError: it cannot be read.
            DiptychError, ValueError: as ``encode_image``.
        """
        if self.fs is None:
            return encode_image(Path(self.place)).data
        with said(self.path, "read"):
            size = self.fs.size(self.place) if self.size is None else self.size
        if (size or 0) > MAX_REQUEST_BYTES and _suffix(self.place) in _SENT_UNCHANGED:
            raise MessageTooLargeError(f"expected at most {MAX_REQUEST_BYTES} bytes, got {size}")
        with said(self.path, "read"):
            data: bytes = self.fs.cat_file(self.place)
        return encode_image(data).data


@dataclass(frozen=True)
class Source:
    """All pictures of a batch."""

    name: str
    """As it was given."""
    root: str
    """What all paths begin with that are not from a list; empty for a list."""
    pictures: tuple[Picture, ...]
    """In order of their paths."""
    repeated_count: int
    """How many more of a list were paths that it has already."""

    @property
    def sha256(self) -> str:
        """A digest of all paths, in hexadecimal."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(picture.path.encode() + b"\0")
        return digest.hexdigest()


def open_source(name: str, *, left_out: Callable[[Path], bool] = lambda path: False) -> Source:
    """List the pictures of a folder and its folders, of a list, or of a pattern.

    Names that begin with a dot do not count, nor do files of which ``left_out`` says so. A list
    has a path or an address in each line, or with a NUL behind each; those that are relative
    are so to the list. A folder that cannot be listed is an error, so that no picture is missing.

    Raises:
        OSError, ValueError: there is no such source, it cannot be read, or has no pictures.
        MissingExtraError: it needs a package.
    """
    found = _remote(name) if is_url(name) else _local(local_path(name), left_out)
    root, pictures = found
    by_path = {picture.path: picture for picture in pictures}
    if not by_path:
        raise ValueError(f"{name}: expected pictures, got none")
    ordered = tuple(by_path[path] for path in sorted(by_path))
    return Source(name, root, ordered, len(pictures) - len(ordered))


def _local(name: str, left_out: Callable[[Path], bool]) -> tuple[str, list[Picture]]:
    if os.path.isdir(name):
        files = [path for path in _below(name) if not left_out(Path(path))]
        return _with_slash(os.path.normpath(name)), [_of_file(path) for path in files]
    if os.path.isfile(name):
        if _suffix(name) in IMAGE_SUFFIXES:
            return "", [_of_file(name)]
        return "", _listed(name, Path(name).read_bytes(), os.path.dirname(name))
    if glob.has_magic(name):
        matches = glob.glob(name, recursive=True)
        chosen = [p for p in matches if _counts(p) and os.path.isfile(p) and not left_out(Path(p))]
        return _with_slash(os.path.dirname(_fixed(name))), [_of_file(path) for path in chosen]
    if os.path.exists(name):
        raise ValueError(f"{name} is no regular file: expected a folder, a list or a picture")
    raise FileNotFoundError(f"{name}: there is no such folder, list or picture")


def _below(folder: str) -> Iterator[str]:
    """Pictures of a folder and its folders, which are entered once, by links too."""

    def fail(error: OSError) -> None:
        raise type(error)(f"{error.filename} cannot be listed: {error.strerror}") from error

    seen: set[tuple[int, int]] = set()
    for here, folders, files in os.walk(os.path.normpath(folder), onerror=fail, followlinks=True):
        found = os.stat(here)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = name if here == "." else os.path.join(here, name)
            # One that is gone already, or a link to nowhere, is a row that says so.
            if _counts(path) and (os.path.isfile(path) or not os.path.exists(path)):
                yield path


def _remote(url: str) -> tuple[str, list[Picture]]:
    fs, root = reached(url)
    with said(url, "listed"):
        if glob.has_magic(root) and not fs.exists(root):
            found, given, start = fs.glob(root, detail=True), _fixed(url), _fixed(root)
            base = given.rpartition("/")[0]
        else:
            found, given, start = _found(fs, root), url.rstrip("/"), root
            base = given
            if list(found) == [root] and _suffix(root) not in IMAGE_SUFFIXES:
                return "", _listed(url, fs.cat_file(root), given.rpartition("/")[0])
        pictures = [
            # As the source was given: file systems write their addresses in other ways.
            Picture(_shown(given + place.removeprefix(start)), place, fs, info.get("size"))
            for place, info in found.items()
            if info["type"] == "file" and _counts(place)
        ]
        return _shown(_with_slash(base)), pictures


def _found(fs: Any, root: str) -> dict[str, Any]:
    # Some file systems say nothing of folders that they may not list, unless they are asked.
    info = fs.info(root)
    if info["type"] == "file":
        return {root: info}
    if puts_whole(fs):
        return dict(fs.find(root, detail=True))
    found: dict[str, Any] = {}
    for _, _, files in fs.walk(root, detail=True, on_error="raise"):
        found |= {info["name"]: info for info in files.values()}
    return found


def _listed(name: str, data: bytes, folder: str) -> list[Picture]:
    """The pictures of a list, as often as it has them."""
    if b"\0" in data:
        places = os.fsdecode(data.removesuffix(b"\0")).split("\0")
        wrong = "" in places
    else:
        try:
            places = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise _no_list(name) from error
        places, wrong = [line for line in map(str.strip, places) if line], False
    if wrong or any(len(place) > _LONGEST_PATH for place in places):
        raise _no_list(name)
    return [_of_line(place, folder) for place in places]


def _of_line(place: str, folder: str) -> Picture:
    if not is_url(place):
        place = local_path(place)
        if not is_url(folder) or os.path.isabs(place):
            return _of_file(os.path.join(folder, place))
        place = f"{folder}/{place}"
    fs, at = reached(place)
    return Picture(_shown(place), at, fs)


def _no_list(name: str) -> ValueError:
    return ValueError(
        f"{name}: expected a picture, or a list: text in UTF-8 with a path in each line, or with "
        "a NUL behind each"
    )


def _of_file(path: str) -> Picture:
    return Picture(_shown(path), path)


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _counts(path: str) -> bool:
    return _suffix(path) in IMAGE_SUFFIXES and not os.path.basename(path).startswith(".")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _with_slash(folder: str) -> str:
    return "" if folder in ("", ".") else folder.rstrip("/") + "/"


def _fixed(pattern: str) -> str:
    """The part of a pattern before the first of its magic characters."""
    return pattern[: min(pattern.find(c) for c in "*?[" if c in pattern)]
