"""Names that files, archives, XML and spreadsheets can have, each once."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from posixpath import splitext

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_NOT_IN_FILES = re.compile(r'[<>:"|?*]')
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
# Windows opens a device where a file is called so, whatever its suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_LONGEST = 200  # bytes of a name; a suffix and a number still fit into the usual 255


def shown(text: str) -> str:
    """Text as every format can hold it: what is no character that a person writes is ``_``."""
    return _CONTROL.sub("_", text)


def safe_path(name: str) -> str:
    """A relative path below whatever folder it is written into, good on every file system."""
    steps = _DRIVE.sub("", shown(name).replace("\\", "/")).split("/")
    safe = [_safe(step) for step in steps if step not in ("", ".", "..")]
    return "/".join(safe) or "picture"


def _safe(step: str) -> str:
    # A name ends on Windows where its last dots and blanks begin.
    text = _NOT_IN_FILES.sub("_", step).strip(" ").rstrip(". ")
    if not text or _DEVICE.match(text):
        text = f"_{text}"
    stem, suffix = splitext(text)
    while len(f"{stem}{suffix}".encode()) > _LONGEST:
        stem, suffix = (stem[:-1], suffix) if stem else (suffix[:-1], "")
    return stem + suffix


def names_of(images: Sequence[Path]) -> list[str]:
    """Names of pictures, with the folders below the one that all are in."""
    if not images:
        return []
    places = [Path(os.path.abspath(image)) for image in images]
    common = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(common).as_posix() for place in places]


def unique_names(names: Iterable[str], *, by_stem: bool = False) -> list[str]:
    """Names of pictures, each once: the second of a name gets ``-2`` before its suffix.

    Names count as the same if file systems that do not tell cases apart would take them so;
    ``by_stem`` also if they differ in their suffix only, for files that are called after them.
    """
    taken: set[str] = set()
    last: dict[str, int] = {}
    found = []
    for name in names:
        name = shown(name).replace("\\", "/") or "picture"
        stem, suffix = splitext(name)
        first = key = _key(name, by_stem=by_stem)
        count = last.get(first, 1)
        while key in taken:
            count += 1
            name = f"{stem}-{count}{suffix}"
            key = _key(name, by_stem=by_stem)
        last[first] = count
        taken.add(key)
        found.append(name)
    return found


def _key(name: str, *, by_stem: bool) -> str:
    path = safe_path(name)
    return unicodedata.normalize("NFC", splitext(path)[0] if by_stem else path).casefold()


def beside(name: str, suffix: str) -> str:
    """The safe path of a file that is called after a picture: ``a/b.txt`` for ``a/b.jpg``."""
    return splitext(safe_path(name))[0] + suffix


def one_step(text: str) -> str:
    """Text as part of the name of a file: without folders."""
    return _safe(shown(text).replace("/", "_").replace("\\", "_"))[:60]
