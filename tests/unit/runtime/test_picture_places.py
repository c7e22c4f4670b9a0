"""Pictures in memory that two processes see."""

from __future__ import annotations

import os

import pytest

from diptych.limits import MAX_REQUEST_BYTES
from diptych_runtime.ipc.shared_memory import PicturePlaces, PictureReader

MIB = 1024 * 1024


def reader_of(places: PicturePlaces) -> PictureReader:
    return PictureReader(os.dup(places.file.fileno()))


@pytest.mark.parametrize("size", [1, 4095, 5 * MIB, MAX_REQUEST_BYTES])
def test_a_picture_is_read_as_it_was_put(size: int) -> None:
    places = PicturePlaces()
    reader = reader_of(places)
    places.file.close()
    pictures = [bytes([letter]) * size for letter in b"ab"]
    held = [places.put(memoryview(picture)) for picture in pictures]
    assert None not in held
    assert held[0] != held[1]
    for place, picture in zip(held, pictures, strict=True):
        assert place is not None
        assert reader.view(place, size) == picture
        assert reader.read(place, size) == picture
    places.close()
    # The engine process has its own view of what the front gave back.
    assert held[0] is not None
    assert reader.read(held[0], size) == pictures[0]


def test_without_room_there_is_no_place_until_one_is_freed() -> None:
    places = PicturePlaces()
    taken = []
    while (place := places.put(b"x")) is not None:
        taken.append(place)
    assert len(set(taken)) == len(taken) >= 8
    places.free(taken[3])
    assert places.put(b"") is None  # a digest was sent
    assert places.put(b"y") == taken[3]
    places.free(taken[3])
    assert places.put(bytes(MAX_REQUEST_BYTES + 1)) is None
    places.file.close()
    places.close()


def test_a_large_picture_leaves_little_behind() -> None:
    places = PicturePlaces()
    for _ in range(3):
        place = places.put(b"x" * MAX_REQUEST_BYTES)
        assert place is not None
        assert os.fstat(places.file.fileno()).st_blocks * 512 >= MAX_REQUEST_BYTES
        places.free(place)
        assert os.fstat(places.file.fileno()).st_blocks * 512 <= 8 * MIB
    places.file.close()
    places.close()


def test_what_is_freed_after_the_end_does_no_harm() -> None:
    places = PicturePlaces()
    place = places.put(b"x" * MAX_REQUEST_BYTES)
    places.file.close()
    places.close()
    assert place is not None
    places.free(place)
