"""Memory that the front shares with its engine process, for pictures on their way there.

A picture is copied in by one and out by the other. Through the socket, in pieces of what that
holds, both would spend ten times as long on it. The memory is a file without a name: it is gone
when both processes are, however they end.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile

from diptych.limits import MAX_REQUEST_BYTES

_PLACES = 16  # pages that nobody has used take no memory
_PLACE_BYTES = MAX_REQUEST_BYTES
_ALL_BYTES = _PLACES * _PLACE_BYTES
_KEPT_BYTES = 8 * 1024 * 1024  # of a place that is free again; more is given back


class PicturePlaces:
    """The front's side: which place has a picture."""

    def __init__(self) -> None:
        self.file = open(_nameless_file(), "r+b", buffering=0)  # noqa: SIM115
        """For the engine process; to be closed once it has it."""
        self.file.truncate(_ALL_BYTES)
        self._memory = mmap.mmap(self.file.fileno(), _ALL_BYTES)
        self._free = list(range(_PLACES))
        self._sizes = [0] * _PLACES

    def put(self, picture: bytes | memoryview) -> int | None:
        """Copy a picture in; returns where it is, ``None`` if there is no room, or no picture."""
        size = len(picture)
        if not size or not self._free or size > _PLACE_BYTES:
            return None
        # The last one that was used: its pages are there.
        place = self._free.pop()
        start = place * _PLACE_BYTES
        self._memory[start : start + size] = picture
        self._sizes[place] = size
        return place

    def free(self, place: int) -> None:
        """The engine process does not read there any more."""
        over = self._sizes[place] - _KEPT_BYTES
        if over > 0 and not self._memory.closed:
            start = place * _PLACE_BYTES + _KEPT_BYTES
            with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux: kept
                self._memory.madvise(mmap.MADV_REMOVE, start, _whole_pages(over))
        self._free.append(place)

    def close(self) -> None:
        """Give the memory back; the engine process keeps its own view while it lives."""
        self._memory.close()


class PictureReader:
    """The engine's side."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._memory = memoryview(mmap.mmap(file, _ALL_BYTES, prot=mmap.PROT_READ))

    def view(self, place: int, size: int) -> memoryview:
        """The picture at a place, where it is."""
        start = place * _PLACE_BYTES
        return self._memory[start : start + size]

    def read(self, place: int, size: int) -> bytes:
        """A copy of the picture at a place. Other threads run meanwhile, as they could not while it
        was copied from a view."""
        return os.pread(self._file, size, place * _PLACE_BYTES)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pictures")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
