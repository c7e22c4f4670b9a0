"""Images in memory that two processes see."""

from __future__ import annotations

import os

import pytest

from diptych.limits import MAX_REQUEST_BYTES
from diptych_runtime.ipc.shared_memory import ImageReader, ImageSlots

MIB = 1024 * 1024


def reader_of(slots: ImageSlots) -> ImageReader:
    return ImageReader(os.dup(slots.file.fileno()))


@pytest.mark.parametrize("size", [1, 4095, 5 * MIB, MAX_REQUEST_BYTES])
def test_a_picture_is_read_as_it_was_put(size: int) -> None:
    slots = ImageSlots()
    reader = reader_of(slots)
    slots.file.close()
    files = [bytes([letter]) * size for letter in b"ab"]
    held = [slots.put(file) for file in files]
    assert None not in held
    assert held[0] != held[1]
    for slot, file in zip(held, files, strict=True):
        assert slot is not None
        assert reader.view(slot, size) == file
        assert reader.read(slot, size) == file
    slots.close()
    # The engine process has its own view of what the front gave back.
    assert held[0] is not None
    assert reader.read(held[0], size) == files[0]


def test_without_room_there_is_no_slot_until_one_is_freed() -> None:
    slots = ImageSlots()
    taken = []
    while (slot := slots.put(b"x")) is not None:
        taken.append(slot)
    assert len(set(taken)) == len(taken) >= 8
    slots.free(taken[3])
    assert slots.put(b"") is None  # a digest was sent
    assert slots.put(b"y") == taken[3]
    slots.free(taken[3])
    assert slots.put(bytes(MAX_REQUEST_BYTES + 1)) is None
    slots.file.close()
    slots.close()


def test_a_large_picture_leaves_little_behind() -> None:
    slots = ImageSlots()
    for _ in range(3):
        slot = slots.put(b"x" * MAX_REQUEST_BYTES)
        assert slot is not None
        assert os.fstat(slots.file.fileno()).st_blocks * 512 >= MAX_REQUEST_BYTES
        slots.free(slot)
        assert os.fstat(slots.file.fileno()).st_blocks * 512 <= 8 * MIB
    slots.file.close()
    slots.close()


def test_what_is_freed_after_the_end_does_no_harm() -> None:
    slots = ImageSlots()
    slot = slots.put(b"x" * MAX_REQUEST_BYTES)
    slots.file.close()
    slots.close()
    assert slot is not None
    slots.free(slot)
