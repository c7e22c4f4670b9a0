"""Files as the world writes them: a server reads them upright, and a client draws what it read."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import picture_files
import pytest
from PIL import Image, ImageOps

from diptych._pictures.images import open_rgb
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


def pillow_pixels(data: bytes) -> Pixels:
    """As Pillow decodes it, which takes every WebP for an animation."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    ground = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(ground, upright).convert("RGB"))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("animated", [False, True])
def test_a_webp_is_decoded_as_pillow_does(
    lossless: bool, alpha: bool, turn: int, animated: bool
) -> None:
    image = picture_files.noise().resize((97, 61))
    if alpha:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = picture_files.saved(image, "WEBP", lossless=lossless, exif=picture_files.exif(turn))
    if animated:
        data = in_a_frame(data, image.size)
    pixels, notes = read(data)
    assert np.abs(pixels.astype(int) - pillow_pixels(data)).max() <= 1  # of laying it on white
    assert notes == []


def in_a_frame(data: bytes, size: tuple[int, int], place: int = 0, canvas: int = 0) -> bytes:
    """A WebP as an animation of one frame, ``canvas`` wider and higher than that."""
    chunks, at = [], 12
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], data[at + 8 : end]))
        at = end + (end & 1)

    def packed(name: bytes, held: bytes) -> bytes:
        return name + len(held).to_bytes(4, "little") + held + bytes(len(held) & 1)

    sides = [(side - 1).to_bytes(3, "little") for side in size]
    frame = place.to_bytes(3, "little") * 2 + b"".join(sides) + bytes(4)
    frame += b"".join(packed(*c) for c in chunks if c[0] in (b"ALPH", b"VP8 ", b"VP8L"))
    exif = [packed(*c) for c in chunks if c[0] == b"EXIF"]
    wide = b"".join((side + canvas - 1).to_bytes(3, "little") for side in size)
    header = packed(b"VP8X", bytes([0x1A, 0, 0, 0]) + wide)
    body = b"WEBP" + header + packed(b"ANIM", bytes(6)) + packed(b"ANMF", frame) + b"".join(exif)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_a_frame_that_does_not_cover_its_canvas_is_left_to_pillow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = picture_files.noise()
    still = picture_files.saved(image, "WEBP", lossless=True)
    data = in_a_frame(still, image.size, place=1, canvas=10)
    pixels, _ = read(data)
    assert np.array_equal(pixels, pillow_pixels(data))
    monkeypatch.setattr("diptych_runtime.worker.images._MAX_ANIMATED_PX", 4000)
    with pytest.raises(ServiceError, match="at most 4000 pixels in a WebP made as an animation"):
        read(data)
    assert read(in_a_frame(still, image.size))[0].shape == (48, 64, 3)


def test_a_pillow_that_does_not_show_its_libwebp_decodes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diptych_runtime.worker.webp._library", lambda: None)
    for name, data in picture_files.turned():
        if name.endswith("webp"):
            assert np.array_equal(read(data)[0], SCENE)
