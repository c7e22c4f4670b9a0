"""Memory that the front shares with its engine process, for images on their way there.

The file of an image is copied in by one and out by the other. Through the socket, in pieces of what
that holds, both would spend ten times as long on it. The memory is a file without a name: it is
gone when both processes are, however they end.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile

from diptych.limits import MAX_REQUEST_BYTES

_SLOTS = 16  # pages that nobody has used take no memory
_SLOT_BYTES = MAX_REQUEST_BYTES
_ALL_BYTES = _SLOTS * _SLOT_BYTES
_MARKS = 32 * 1024  # more than there can be requests in the process; two for each
_KEPT_BYTES = 8 * 1024 * 1024  # of a slot that is free again; more is given back


class ImageSlots:
    """The front's side: which slot has an image."""

    def __init__(self) -> None:
        self.file = open(nameless_file(), "r+b", buffering=0)  # noqa: SIM115
        """For the engine process; to be closed once it has it."""
        self.file.truncate(_ALL_BYTES + 2 * _MARKS)
        self._memory = mmap.mmap(self.file.fileno(), _ALL_BYTES + 2 * _MARKS)
        self._free = list(range(_SLOTS))
        self._sizes = [0] * _SLOTS

    def put(self, encoded: bytes | memoryview) -> int | None:
        """Copy an image's file in; returns its slot, ``None`` without room or without a file."""
        size = len(encoded)
        if not size or not self._free or size > _SLOT_BYTES:
            return None
        # The last one that was used: its pages are there.
        slot = self._free.pop()
        start = slot * _SLOT_BYTES
        self._memory[start : start + size] = encoded
        self._sizes[slot] = size
        return slot

    def free(self, slot: int) -> None:
        """Take a slot back that the engine process does not read any more."""
        over = self._sizes[slot] - _KEPT_BYTES
        if over > 0 and not self._memory.closed:
            start = slot * _SLOT_BYTES + _KEPT_BYTES
            with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux: kept
                self._memory.madvise(mmap.MADV_REMOVE, start, _whole_pages(over))
        self._free.append(slot)

    def read(self, slot: int) -> bytes:
        """Copy the file in a slot."""
        start = slot * _SLOT_BYTES
        return self._memory[start : start + self._sizes[slot]]

    def is_marked(self, number: int) -> bool:
        """Whether the engine process works on a request, or did when it ended."""
        at = _ALL_BYTES + number % _MARKS
        return bool(self._memory[at] or self._memory[at + _MARKS])

    def close(self) -> None:
        """Give the memory back; the engine process keeps its own view while it lives."""
        self._memory.close()


class ImageReader:
    """The engine's side."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._memory = memoryview(mmap.mmap(file, _ALL_BYTES, prot=mmap.PROT_READ))
        self._marks = mmap.mmap(file, 2 * _MARKS, offset=_ALL_BYTES)

    def view(self, slot: int, size: int) -> memoryview:
        """Return the file in a slot, where it is."""
        start = slot * _SLOT_BYTES
        return self._memory[start : start + size]

    def read(self, slot: int, size: int) -> bytes:
        """Copy the file in a slot. Other threads run meanwhile, as they could not while it was
        copied from a view."""
        return os.pread(self._file, size, slot * _SLOT_BYTES)

    def mark(self, number: int, working: bool, *, decoding: bool = False) -> None:
        """Note that a request is worked on, or is not any more: the front reads this when the
        process has ended and can say nothing."""
        self._marks[number % _MARKS + _MARKS * decoding] = working


def nameless_file() -> int:
    """Make a file in memory that no folder has; returns its descriptor, to be closed."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("images")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
