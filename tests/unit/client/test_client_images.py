"""Pictures in all their forms, and digests of those that were sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych import MessageTooLargeError
from diptych._arguments import EncodedImage, encode_image
from diptych._pictures.images import list_images, open_rgb
from diptych._transport.calls import MIN_BYTES, SentImages

PIXELS = np.random.default_rng(3).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_files_and_bytes_go_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(b"not even a picture")
    for given in (path, str(path), b"not even a picture", bytearray(b"not even a picture")):
        assert encode_image(given).data == b"not even a picture"  # type: ignore[arg-type]


def test_arrays_lose_nothing() -> None:
    for given in (PIXELS, PIXELS[:, ::-1], np.asfortranarray(PIXELS)):
        assert np.array_equal(np.asarray(decoded(encode_image(given).data)), given)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_pil_images_keep_their_pixels(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    png = decoded(encode_image(image).data)
    assert png.format == "PNG"
    expected = image.convert("RGB") if mode == "CMYK" else image
    assert np.array_equal(np.asarray(png), np.asarray(expected))


@pytest.mark.parametrize("value", [None, 3, ["a.png"], object()])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="image: expected a path, bytes"):
        encode_image(value)  # type: ignore[arg-type]


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych._arguments.MAX_REQUEST_BYTES", 10)
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(10**12)  # reading it would take for ever
    with pytest.raises(
        MessageTooLargeError, match=r"large\.jpg: expected at most 10 bytes, got 10"
    ):
        encode_image(path)


def test_transparent_pictures_are_shown_on_white() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert open_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


def image(number: int, size: int = MIN_BYTES) -> EncodedImage:
    return EncodedImage(number.to_bytes(2, "big") + b"\0" * (size - 2))


def test_oldest_digest_is_forgotten_first() -> None:
    sent = SentImages(capacity=2)
    sent.add(image(1))
    sent.add(image(2))
    assert sent.has(image(1))
    sent.add(image(3))
    assert [sent.has(image(n)) for n in (1, 2, 3)] == [True, False, True]
    sent.forget(image(1))
    sent.forget(image(9))
    assert not sent.has(image(1))


def test_small_pictures_have_no_digest() -> None:
    sent = SentImages()
    sent.add(image(1, MIN_BYTES - 1))
    assert not sent.has(image(1, MIN_BYTES - 1))


def test_folders_are_sorted_by_number(tmp_path: Path) -> None:
    names = ["a1.png", "a2.png", "a02.png", "a10.png", "b.png", "10.png", "9.jpg", "a²1.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    found = [path.name for path in list_images(tmp_path)]
    assert found == [
        "9.jpg",
        "10.png",
        "a1.png",
        "a02.png",
        "a2.png",
        "a10.png",
        "a²1.png",
        "b.png",
    ]
