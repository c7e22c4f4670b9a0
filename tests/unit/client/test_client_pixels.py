"""Arrays, tensors, PIL images and open files: what is sent of them, and what is refused."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import picture_files
import pytest
from PIL import Image, features

from diptych import (
    AsyncClient,
    Client,
    InvalidRequestError,
    MessageTooLargeError,
    MissingExtraError,
    SegmentResult,
)
from diptych._arguments import encode_image
from diptych._pictures.images import open_rgb
from diptych._video.frames import encode_frame
from diptych.cli._tables import headline
from diptych.documents.results import result_document
from diptych.testing import FakeSegmentService

RGB = np.asarray(picture_files.scene())
GREY = np.asarray(picture_files.scene().convert("L"))
ALPHA = np.dstack([RGB, GREY])


def sent(image: Any, quality: Any = "auto") -> Image.Image:
    return Image.open(io.BytesIO(encode_image(image, quality).data))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB, RGB),
        (RGB[:, ::-1], RGB[:, ::-1]),
        (np.asfortranarray(RGB), RGB),
        (GREY, GREY),
        (GREY[:, :, None], GREY),
        (ALPHA, ALPHA),
        (GREY > 100, np.where(GREY > 100, 255, 0)),
        (GREY.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257),
        (GREY.astype(">u2") * 257, GREY.astype(np.uint16) * 257),
        (RGB.astype(np.uint16) * 257, RGB),
        (RGB / 255, RGB),
        ((RGB / 255).astype(np.float32), RGB),
        (np.float16(GREY / 255), GREY),
        (np.zeros((20, 30)), np.zeros((20, 30))),
    ],
)
def test_arrays_lose_nothing(array: np.ndarray, expected: np.ndarray) -> None:
    png = sent(array)
    assert png.format == "PNG"
    assert np.array_equal(np.asarray(png), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            RGB.astype(np.int64),
            r"expected an array \(H, W\).*got shape \(48, 64, 3\) and dtype int64",
        ),
        (RGB.astype(np.float32), "expected floats from 0 to 1, got 30 to 240"),
        (RGB / 255 - 0.5, "expected floats from 0 to 1, got -0.38"),
        (np.full((20, 30), np.nan), "expected floats from 0 to 1, got nan"),
        (RGB.transpose(2, 0, 1), "its channels come first: pass numpy.moveaxis"),
        (RGB[None], "pass the pictures of a batch one by one"),
        (RGB[:, :, :2], "expected an array"),
        (RGB[:0], "expected an array"),
        (RGB[0, 0], "expected an array"),
        (RGB.astype(complex), "dtype complex128"),
        (np.array([[object()]]), "dtype object"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_image(array)


def test_whatever_numpy_makes_an_array_of_is_one() -> None:
    class Elsewhere:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return RGB

    assert np.array_equal(np.asarray(sent(Elsewhere())), RGB)


# What Pillow itself converts the mode to; "I" is what it opened 16-bit files as.
@pytest.mark.parametrize(
    ("mode", "held"),
    [
        *((mode, mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *((mode, "RGB") for mode in ("RGBX", "CMYK", "YCbCr", "HSV", "LAB")),
        *((mode, "RGBA") for mode in ("RGBa", "PA")),
        ("La", "LA"),
    ],
)
def test_every_mode_of_pil_keeps_its_pixels(mode: str, held: str) -> None:
    source = picture_files.scene().convert({"La": "LA", "PA": "P", "RGBa": "RGBA"}.get(mode, "RGB"))
    image = source if source.mode == mode else source.convert(mode)
    png = sent(image)
    assert (png.format, png.mode) == ("PNG", held)
    assert np.array_equal(np.asarray(png), np.asarray(image.convert(held)))
    assert np.array_equal(
        np.asarray(open_rgb(image)), np.asarray(image.convert(held).convert("RGB"))
    )


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "I;16L"])
def test_16_bit_grey_is_sent_whole_and_drawn_scaled(mode: str) -> None:
    values = GREY.astype(np.uint16) * 257
    order = "<i4" if mode == "I" else ">u2" if mode.endswith("B") else "<u2"
    image = Image.frombytes(mode, picture_files.SIZE, values.astype(order).tobytes())
    assert np.array_equal(np.asarray(sent(image)), values)
    assert np.array_equal(np.asarray(open_rgb(image))[:, :, 0], GREY)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("F", (20, 20)), "got mode 'F', the range of which is not known; convert it"),
        (Image.new("I", (20, 20), 70_000), "expected values from 0 to 65535.*got 70000 to 70000"),
        (Image.new("I", (20, 20), -1), "got -1 to -1"),
        (Image.new("RGB", (0, 20)), r"expected pixels, got a PIL image of size \(0, 20\)"),
    ],
)
def test_modes_of_unknown_range_are_refused_by_name(image: Image.Image, message: str) -> None:
    for use in (encode_image, open_rgb):
        with pytest.raises(ValueError, match=message):
            use(image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", picture_files.STORED)
def test_an_open_picture_keeps_its_orientation(kind: str, turn: int) -> None:
    # The file is sent upright, so its PIL image is, too: the answer has one meaning.
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    data = picture_files.saved(
        picture_files.stored(turn), kind, exif=picture_files.exif(turn), **options
    )
    for use in (open_rgb, sent):
        opened = Image.open(io.BytesIO(data))
        found = np.asarray(use(opened))
        assert found.shape == RGB.shape
        assert np.abs(found.astype(int) - RGB).mean() < 3


class Pipe(io.RawIOBase):
    """A file that cannot be wound back, and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._left.read(min(size, 1000))

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")


def test_open_files_are_read_from_their_start(tmp_path: Path) -> None:
    data = picture_files.saved(picture_files.scene(), "PNG") + bytes(3000)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    written = io.BytesIO()
    written.write(data)  # and it stands at its end, as after saving into it
    with path.open("rb") as file:
        for image in (io.BytesIO(data), written, file, file, Pipe(data), bytearray(data)):
            assert encode_image(image).data == data
    with (
        path.open("r", encoding="latin-1") as text,
        pytest.raises(TypeError, match=r"a\.png.*text"),
    ):
        encode_image(text)


def test_a_large_array_fits_as_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    png = len(encode_image(noise).data)
    monkeypatch.setattr("diptych._pictures.encoding.MAX_REQUEST_BYTES", png * 32 // 31 + 31)
    assert sent(noise).format == "PNG"
    monkeypatch.setattr("diptych._pictures.encoding.MAX_REQUEST_BYTES", png - 1)
    jpeg = encode_image(noise).data
    assert jpeg == encode_image(noise, 95).data
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"
    with pytest.raises(MessageTooLargeError, match=r"image as PNG: .*more; jpeg_quality"):
        encode_image(noise, None)
    monkeypatch.setattr("diptych._pictures.encoding.MAX_REQUEST_BYTES", len(jpeg))
    assert encode_image(noise).data == encode_image(noise, 90).data
    monkeypatch.setattr("diptych._pictures.encoding.MAX_REQUEST_BYTES", 3000)
    with pytest.raises(MessageTooLargeError, match="image as JPEG of quality 20"):
        encode_image(noise)


def test_what_a_jpeg_cannot_hold_is_laid_flat_as_a_server_would() -> None:
    for image in (Image.fromarray(ALPHA), GREY.astype(np.uint16) * 257, GREY > 100):
        jpeg = sent(image, 100)
        assert jpeg.format == "JPEG"
        difference = np.asarray(jpeg.convert("RGB")).astype(int) - np.asarray(open_rgb(image))
        assert np.abs(difference).mean() < 1


@pytest.mark.parametrize("quality", [0, 101, "best", 2.5])
def test_another_quality_is_refused(quality: Any) -> None:
    with pytest.raises(ValueError, match="jpeg_quality: expected 1 to 100, None or 'auto', got"):
        encode_image(RGB, quality)


def test_both_clients_take_all_of_them_and_a_quality(service: FakeSegmentService) -> None:
    data = picture_files.saved(picture_files.scene(), "PNG")
    images = [RGB, GREY, RGB / 255, Image.fromarray(RGB), data, io.BytesIO(data)]
    with Client(service.address) as client:
        for image in images:
            assert client.segment(image, model="one").image_size == GREY.shape
        client.segment(RGB, model="one", jpeg_quality=80)
        assert service.requests[-1].image.encoded[:2] == b"\xff\xd8"
        items = list(client.segment_many([*images, object()], model="one", jpeg_quality=None))
        assert [item.error is None for item in items] == [True] * len(images) + [False]
        assert len(client.compare(GREY > 9, jpeg_quality=80).results) == 2
        assert len(list(client.stream_compare(RGB, jpeg_quality=80))) == 3

    async def asked() -> None:
        async with AsyncClient(service.address) as client:
            for image in images:
                assert (await client.segment(image, model="one")).image_size == GREY.shape
            await client.compare(RGB, jpeg_quality=80)

    asyncio.run(asked())
    assert service.requests[-1].image.encoded[:2] == b"\xff\xd8"


def test_frames_of_a_video_may_be_all_of_them() -> None:
    upright = Image.open(
        io.BytesIO(picture_files.saved(picture_files.stored(6), "PNG", exif=picture_files.exif(6)))
    )
    bmp = picture_files.saved(picture_files.scene(), "BMP")
    for frame in (RGB, GREY, RGB / 255, upright, io.BytesIO(bmp), bmp):
        opened = Image.open(io.BytesIO(encode_frame(frame, 95)))
        assert (opened.format, opened.size) == ("JPEG", picture_files.SIZE)
    assert Image.open(io.BytesIO(encode_frame(Image.fromarray(ALPHA), 95))).format == "PNG"
    assert Image.open(io.BytesIO(encode_frame(RGB, None))).format == "PNG"


def test_files_of_other_formats_are_converted(tmp_path: Path) -> None:
    for name, data in picture_files.elsewhere():
        path = tmp_path / name
        path.write_bytes(data)
        grey = name.startswith("grey")
        for image in (path, data, io.BytesIO(data)):
            png = sent(image)
            assert png.format == "PNG", name
        shown = np.asarray(open_rgb(path)).astype(int)
        assert np.abs(shown - (GREY[:, :, None] if grey else RGB)).mean() < 1.5, name
        assert sent(path, 90).format == "JPEG"


def test_heic_is_converted() -> None:
    heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    heif.from_pillow(picture_files.scene()).save(out, quality=95, chroma=444)
    png = sent(out.getvalue())
    assert (png.format, png.size) == ("PNG", picture_files.SIZE)
    assert np.abs(np.asarray(png).astype(int) - RGB).mean() < 4
    with pytest.raises(InvalidRequestError, match="expected a whole HEIF, got"):
        encode_image(out.getvalue()[:200])


def test_what_is_missing_for_a_format_is_said_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        MissingExtraError, match=r"HEIC files need an extra: pip install 'diptych\[heif\]'"
    ):
        encode_image(heic)
    monkeypatch.delitem(features.modules, "avif")
    with pytest.raises(MissingExtraError, match=r"AVIF files need Pillow 11\.3"):
        encode_image(heic.replace(b"heic", b"avif"))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF"])
def test_a_broken_file_that_is_read_here_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(picture_files.saved(picture_files.scene(), kind)[:60])
    with pytest.raises(InvalidRequestError, match=f"broken: expected a whole {kind}, got 60 bytes"):
        encode_image(path)


def test_what_only_begins_like_another_format_is_sent_as_it_is() -> None:
    for data in (b"BM, a diary", b"GIF8", b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", b""):
        assert encode_image(data).data == data


def test_the_command_line_and_json_say_what_is_wrong_with_a_file() -> None:
    result = SegmentResult("one", (), (48, 64), warnings=("image: the PNG file is damaged",))
    assert headline(result, 0.1) == (
        "one: 0 objects in 64x48 px, 100 ms\n  warning: image: the PNG file is damaged"
    )
    assert result_document(result)["warnings"] == ["image: the PNG file is damaged"]


def test_a_folder_of_every_format_is_asked(service: FakeSegmentService, tmp_path: Path) -> None:
    files = dict(picture_files.elsewhere())
    for name in ("x.gif", "x.bmp", "x.tif", "x.avif"):
        (tmp_path / name).write_bytes(files[name])
    with Client(service.address) as client:
        items = list(client.segment_many(tmp_path, model="one"))
    assert [item.error for item in items] == [None] * 4
