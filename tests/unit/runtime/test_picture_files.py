"""Files as the world writes them: a server reads them upright, and a client draws what it read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import picture_files
import pytest

from diptych._images import open_rgb
from diptych_runtime.engine import ServiceError
from diptych_runtime.engine.protocol import Pixels
from diptych_runtime.worker.images import decode

SCENE = np.asarray(picture_files.scene()).astype(int)


def read(data: bytes) -> tuple[Pixels, list[str]]:
    notes: list[str] = []
    limits = {"max_pixels": 10**6, "min_side": 16, "max_aspect_ratio": 20}
    return decode(data, **limits, note=notes.append), notes


def named(files: Iterator[tuple[str, bytes]]) -> list[object]:
    return [pytest.param(data, id=name) for name, data in files]


@pytest.mark.parametrize("data", named(picture_files.turned()))
def test_a_file_is_turned_as_it_says(data: bytes) -> None:
    pixels, notes = read(data)
    assert np.abs(pixels - SCENE).max() < 30
    assert np.abs(pixels - SCENE).mean() < 1
    assert np.array_equal(np.asarray(open_rgb(data)), pixels)
    assert notes == []


@pytest.mark.parametrize("data", named(picture_files.coloured()))
def test_a_client_draws_what_a_server_reads(data: bytes) -> None:
    pixels, notes = read(data)
    assert np.array_equal(np.asarray(open_rgb(data)), pixels)
    assert notes == []


@pytest.mark.parametrize("data", named(picture_files.damaged()))
def test_a_damaged_file_with_all_its_pixels_is_read_and_the_damage_told(data: bytes) -> None:
    pixels, notes = read(data)
    assert np.array_equal(np.asarray(open_rgb(data)), pixels)
    kind = {0xFF: "JPEG", 0x89: "PNG", 0x52: "WebP"}[data[0]]
    assert len(notes) == 1
    assert notes[0].startswith(f"image: the {kind} file is damaged (")
    assert notes[0].endswith("; all its pixels are there")


@pytest.mark.parametrize("data", named(picture_files.missing()))
def test_a_file_that_lacks_pixels_stays_refused(data: bytes) -> None:
    with pytest.raises(ServiceError, match="that are truncated or broken"):
        read(data)
    with pytest.raises((OSError, SyntaxError)):
        open_rgb(data)


def test_what_a_damaged_jpeg_shows_is_what_it_showed_whole() -> None:
    noise = picture_files.noise()
    for progressive in (False, True):
        whole = picture_files.saved(noise, "JPEG", progressive=progressive)
        expected, _ = read(whole)
        assert np.array_equal(read(whole[:-2])[0], expected)
        for cut in range(3, 200):
            with pytest.raises(ServiceError):
                read(whole[:-cut])
