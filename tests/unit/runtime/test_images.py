"""Pictures of every kind that is served, and of every kind that is refused."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.wire.image_files import sniff
from diptych_runtime.worker.images import decode

Bytes = NDArray[np.uint8]

LEAK = re.compile(r'0x[0-9a-f]{6,}|Traceback|File "|BytesIO|PIL|/usr/')
IMAGE_REASONS = (Reason.IMAGE_UNREADABLE, Reason.IMAGE_TOO_LARGE, Reason.IMAGE_SHAPE)

# Pillow warns of broken metadata that it skips.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RNG = np.random.default_rng(7)


def read(data: bytes, **limits: int) -> Bytes:
    return decode(
        data, **{"max_pixels": 50_000_000, "min_side": 1, "max_aspect_ratio": 20, **limits}
    )


def refused(data: bytes, reason: Reason, **limits: int) -> str:
    """The message of the refusal, which has to be of this reason and leak nothing."""
    with pytest.raises(ServiceError) as caught:
        read(data, **limits)
    assert caught.value.reason is reason
    assert [violation.field for violation in caught.value.violations] == ["image.encoded"]
    assert not LEAK.search(caught.value.message)
    return caught.value.message


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(size: tuple[int, int], bits: int, colour: int, row: bytes, *extra: bytes) -> bytes:
    """A PNG of ``size`` (width, height) with every row the same, written by hand."""
    width, height = size
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress((b"\0" + row) * height))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def smooth(height: int, width: int) -> Bytes:
    """Colours that lossy formats keep within a few levels."""
    y, x = np.mgrid[:height, :width]
    planes = (x * 200 // width + 20, y * 200 // height + 20, (x + y) * 90 // (height + width) + 60)
    return np.stack(planes, axis=2).astype(np.uint8)


def near(pixels: Bytes, expected: Bytes, *, levels: int) -> bool:
    difference = np.abs(pixels.astype(int) - expected.astype(int))
    return pixels.shape == expected.shape and int(difference.max()) <= levels


def lit_by_ink(cyan: int, magenta: int, yellow: int, black: int) -> list[int]:
    """RGB of ink amounts 0 to 255."""
    return [round((255 - ink) * (255 - black) / 255) for ink in (cyan, magenta, yellow)]


class TestSniff:
    @pytest.mark.parametrize(("kind", "name"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP")])
    def test_knows_three_kinds(self, kind: str, name: str) -> None:
        assert sniff(saved(Image.new("RGB", (2, 2)), kind)) == name

    @pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"RIFF1234WAVE", b"\x89PNG", b"GIF89a"])
    def test_knows_nothing_else(self, data: bytes) -> None:
        assert sniff(data) is None


class TestPixels:
    """Golden pixels of every mode."""

    def test_array_is_fit_for_use(self) -> None:
        for data in (saved(Image.new("RGB", (5, 4)), "PNG"), oriented("PNG", 6)):
            pixels = read(data)
            assert pixels.dtype == np.uint8
            assert pixels.flags.c_contiguous
            assert pixels.flags.writeable

    def test_rgb_png_is_exact(self) -> None:
        expected = RNG.integers(0, 256, (7, 9, 3), np.uint8)
        assert np.array_equal(read(saved(Image.fromarray(expected), "PNG")), expected)

    def test_rgb_webp_lossless_is_exact(self) -> None:
        expected = RNG.integers(0, 256, (7, 9, 3), np.uint8)
        data = saved(Image.fromarray(expected), "WEBP", lossless=True)
        assert np.array_equal(read(data), expected)

    @pytest.mark.parametrize(
        ("kind", "options"),
        [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"optimize": True}), ("WEBP", {})],
    )
    def test_lossy_rgb_is_close(self, kind: str, options: dict[str, Any]) -> None:
        expected = smooth(48, 64)
        data = saved(Image.fromarray(expected), kind, quality=95, **options)
        assert near(read(data), expected, levels=12)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_grey(self, kind: str) -> None:
        grey = np.tile(np.arange(0, 256, 4).astype(np.uint8), (16, 1))
        pixels = read(saved(Image.fromarray(grey), kind))
        assert near(pixels, np.repeat(grey[:, :, None], 3, axis=2), levels=3 * (kind == "JPEG"))

    @pytest.mark.parametrize(
        ("bits", "row", "levels"),
        [(1, 0b01100000, [0, 255, 255]), (2, 0b00011011, [0, 85, 170]), (4, 0x5A, [85, 170])],
    )
    def test_grey_of_few_bits(self, bits: int, row: int, levels: list[int]) -> None:
        pixels = read(png((len(levels), 2), bits, 0, bytes([row])))
        assert pixels[1].tolist() == [[level] * 3 for level in levels]

    def test_grey_16_bit_is_scaled_not_clipped(self) -> None:
        ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
        pixels = read(saved(Image.fromarray(ramp), "PNG"))
        assert np.array_equal(pixels, np.repeat(np.round(ramp / 257)[:, :, None], 3, axis=2))

    def test_colour_16_bit_keeps_the_high_byte(self) -> None:
        values = (0x0000, 0x7FFF, 0xFFFF, 0x12FF, 0x8000, 0x0100)
        pixels = read(png((2, 1), 16, 2, struct.pack(">6H", *values)))
        assert pixels[0].tolist() == [[0, 0x7F, 255], [0x12, 0x80, 1]]
        assert max(abs(p - v / 257) for p, v in zip(pixels.ravel(), values, strict=True)) < 1

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_transparent_pixels_are_laid_on_white(self, kind: str) -> None:
        rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 100, 128]]], np.uint8)
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        (pixels,) = read(saved(Image.fromarray(rgba), kind, **options))
        assert pixels.tolist() == [[200, 0, 0], [255, 255, 255], [227, 127, 177]]

    def test_grey_with_alpha(self) -> None:
        pixels = read(png((3, 1), 8, 4, bytes([9, 255, 9, 0, 55, 51])))
        assert pixels[0].tolist() == [[9] * 3, [255] * 3, [215] * 3]

    def test_alpha_of_16_bit(self) -> None:
        grey = read(png((2, 1), 16, 4, struct.pack(">4H", 0x1234, 0xFFFF, 0x1234, 0)))
        assert grey[0].tolist() == [[0x12] * 3, [255] * 3]
        colour = read(png((1, 1), 16, 6, struct.pack(">4H", 0xFFFF, 0, 0x0100, 0xFFFF)))
        assert colour[0].tolist() == [[255, 0, 1]]

    def test_palette(self) -> None:
        colours = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
        assert read(png((3, 1), 8, 3, bytes([2, 0, 1]), colours))[0].tolist() == [
            [70, 80, 90],
            [10, 20, 30],
            [40, 50, 60],
        ]
        for alphas in (bytes([255, 0]), bytes([255, 0, 255])):
            data = png((3, 1), 8, 3, bytes([2, 0, 1]), colours, chunk(b"tRNS", alphas))
            assert read(data)[0].tolist() == [[70, 80, 90], [10, 20, 30], [255, 255, 255]]
        data = png((2, 1), 8, 3, bytes([0, 1]), colours, chunk(b"tRNS", bytes([51])))
        assert read(data)[0].tolist() == [[206, 208, 210], [40, 50, 60]]

    @pytest.mark.parametrize(
        ("bits", "colour", "row", "key", "expected"),
        [
            (1, 0, bytes([0b01000000]), [0], [[255] * 3, [255] * 3]),
            (2, 0, bytes([0b01100000]), [1], [[255] * 3, [170] * 3]),
            (4, 0, bytes([0x3C]), [3], [[255] * 3, [204] * 3]),
            (8, 0, bytes([7, 8]), [7], [[255] * 3, [8] * 3]),
            (16, 0, struct.pack(">HH", 0x1234, 0x1235), [0x1234], [[255] * 3, [0x12] * 3]),
            (8, 2, bytes([1, 2, 3, 1, 2, 4]), [1, 2, 3], [[255] * 3, [1, 2, 4]]),
            (
                16,
                2,
                struct.pack(">6H", 0x0102, 3, 4, 0x0202, 3, 4),
                [0x0102, 3, 4],
                [[255] * 3, [2, 0, 0]],
            ),
        ],
    )
    def test_transparent_colour(
        self, bits: int, colour: int, row: bytes, key: list[int], expected: list[list[int]]
    ) -> None:
        data = png((2, 1), bits, colour, row, chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
        assert read(data)[0].tolist() == expected

    @pytest.mark.parametrize(
        "ink", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 128, 255, 51), (9, 9, 9, 255)]
    )
    def test_cmyk_jpeg(self, ink: tuple[int, int, int, int]) -> None:
        # Pillow writes the Adobe marker and inverted values, as Adobe does.
        data = saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
        assert b"Adobe" in data
        assert near(read(data)[:1, :1], np.array([[lit_by_ink(*ink)]], np.uint8), levels=3)

    def test_cmyk_jpeg_without_adobe_marker_is_read_alike(self) -> None:
        data = saved(Image.new("CMYK", (16, 16), (0, 128, 255, 51)), "JPEG", quality=100)
        start = data.index(b"\xff\xee")
        (length,) = struct.unpack(">H", data[start + 2 : start + 4])
        assert np.array_equal(read(data[:start] + data[start + 2 + length :]), read(data))

    def test_ycck_jpeg(self) -> None:
        # Adobe stores CMY as if they were RGB, in YCbCr: with the transform byte set, a CMYK file
        # that holds such planes is YCCK.
        ink, black = (215, 55, 165), 51
        stored = np.asarray(Image.new("RGB", (1, 1), ink).convert("YCbCr"))[0, 0]
        planes = (*(255 - int(level) for level in stored), black)  # saving inverts them back
        data = bytearray(saved(Image.new("CMYK", (16, 16), planes), "JPEG", quality=100))
        data[data.index(b"Adobe") + 11] = 2
        expected = lit_by_ink(*ink, black)
        assert near(read(bytes(data))[:1, :1], np.array([[expected]], np.uint8), levels=4)

    def test_icc_profile_is_ignored(self) -> None:
        expected = RNG.integers(0, 256, (7, 9, 3), np.uint8)
        data = saved(Image.fromarray(expected), "PNG", icc_profile=b"not a profile" * 9)
        assert np.array_equal(read(data), expected)

    def test_interlaced_png(self) -> None:
        grey = bytes([0, 10, 0, 20])  # Adam7 of 2x1: pass 1 holds x = 0, pass 6 holds x = 1
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 1))
        body = chunk(b"IDAT", zlib.compress(grey)) + chunk(b"IEND", b"")
        pixels = read(b"\x89PNG\r\n\x1a\n" + header + body)
        assert pixels[0].tolist() == [[10] * 3, [20] * 3]

    def test_first_picture_of_a_multi_picture_jpeg(self) -> None:
        first, second = Image.new("RGB", (32, 24), "red"), Image.new("RGB", (32, 24), "blue")
        data = saved(first, "MPO", save_all=True, append_images=[second])
        assert near(read(data), np.full((24, 32, 3), (255, 0, 0), np.uint8), levels=3)


def oriented(kind: str, orientation: int, picture: Image.Image | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = picture or Image.fromarray(marked())
    options = {} if kind == "JPEG" else {"lossless": True}
    return saved(picture, kind, exif=exif.tobytes(), **options)


def marked() -> Bytes:
    """48x32 grey with a red, a green and a blue corner, in reading order."""
    pixels = np.full((32, 48, 3), 128, np.uint8)
    pixels[:16, :16], pixels[:16, -16:], pixels[-16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return pixels


# How a picture has to be stored so that this orientation brings it upright.
STORED: dict[int, Callable[[Bytes], Bytes]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_all_eight(self, kind: str, orientation: int) -> None:
        stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](marked())))
        pixels = read(oriented(kind, orientation, stored))
        assert pixels.shape == (32, 48, 3)
        assert near(pixels[4:-4:8, 4:-4:8], marked()[4:-4:8, 4:-4:8], levels=8)

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_unknown_values_mean_upright(self, orientation: int) -> None:
        assert np.array_equal(read(oriented("PNG", orientation)), marked())

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_broken_exif_means_upright(self, kind: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        exif[0x010E] = "text " * 9
        whole = exif.tobytes()
        garbage = [whole[:cut] for cut in range(6, len(whole) - 60)]
        garbage += [b"Exif\0\0" + b"\xff" * 50, b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0"]
        for block in garbage:
            data = saved(
                Image.fromarray(marked()),
                kind,
                exif=block,
                **({} if kind == "JPEG" else {"lossless": True}),
            )
            assert read(data).shape in ((32, 48, 3), (48, 32, 3))


def apng(frames: int) -> bytes:
    parts = [Image.new("RGB", (20, 20), (i * 40, 0, 0)) for i in range(frames)]
    return saved(parts[0], "PNG", save_all=True, append_images=parts[1:])


def animated_webp() -> bytes:
    parts = [Image.new("RGB", (20, 20), (i * 40, 0, 0)) for i in range(3)]
    return saved(parts[0], "WEBP", save_all=True, append_images=parts[1:])


def vp8x(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "expected JPEG, PNG or WebP, got 0 bytes"),
            (b"hello, world", "expected JPEG, PNG or WebP, got 12 bytes of unknown type"),
            (b"\xff\xd8\xff", "expected a whole JPEG, got 3 bytes"),
            (b"\x89PNG\r\n\x1a\n", "expected a whole PNG, got 8 bytes"),
            (b"RIFF\x04\0\0\0WEBP", "expected a whole WebP, got 12 bytes"),
            (b"RIFF\x04\0\0\0WEBPABCD" + bytes(40), "without a picture header"),
        ],
    )
    def test_no_picture(self, data: bytes, message: str) -> None:
        assert message in refused(data, Reason.IMAGE_UNREADABLE)

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "JPEG2000"])
    def test_other_formats_never_enter_a_decoder(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = saved(Image.new("RGB", (32, 32)), kind)

        def entered(*_: object, **__: object) -> None:
            raise AssertionError("a decoder was entered")

        monkeypatch.setattr("PIL.ImageFile.ImageFile.__init__", entered)
        monkeypatch.setattr("PIL.Image.open", entered)
        message = refused(data, Reason.IMAGE_UNREADABLE)
        assert f"expected JPEG, PNG or WebP, got {len(data)} bytes of" in message
        if kind in ("GIF", "TIFF", "BMP"):
            assert message.endswith(kind)

    def test_animations(self) -> None:
        assert "got an animated PNG of 3" in refused(apng(3), Reason.IMAGE_UNREADABLE)
        assert "got an animated WebP of 3" in refused(animated_webp(), Reason.IMAGE_UNREADABLE)

    def test_one_frame_is_no_animation(self) -> None:
        frame = Image.new("RGB", (20, 20))
        assert read(saved(frame, "WEBP", save_all=True)).shape == (20, 20, 3)
        control = chunk(b"acTL", struct.pack(">II", 1, 0))
        control += chunk(b"fcTL", struct.pack(">5I2H2B", 0, 20, 20, 0, 0, 1, 1, 0, 0))
        assert read(png((20, 20), 8, 0, bytes(20), control)).shape == (20, 20, 3)

    @pytest.mark.parametrize(
        "data",
        [
            png((1, 1), 8, 0, b"\0").replace(
                struct.pack(">II", 1, 1), struct.pack(">II", 60_000, 60_000)
            ),
            vp8x(2**24, 2**24),
            vp8x(16_000, 16_000),
            b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20),
            b"RIFF\x20\0\0\0WEBPVP8 \x10\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20),
        ],
        ids=[
            "png",
            "webp canvas",
            "webp canvas below Pillow's limit",
            "webp lossless",
            "webp lossy",
        ],
    )
    def test_bombs_allocate_nothing(self, data: bytes) -> None:
        assert len(data) < 200
        data = with_checksum(data)
        tracemalloc.start()
        try:
            refused(data, Reason.IMAGE_TOO_LARGE)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()

    def test_jpeg_bomb(self) -> None:
        data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG"))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
        message = refused(bytes(data), Reason.IMAGE_TOO_LARGE)
        assert message.endswith("expected at most 50000000 pixels, got 65500 x 65500")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_pixel_limit(self, kind: str) -> None:
        data = saved(Image.new("RGB", (30, 20)), kind)
        assert read(data, max_pixels=600).shape == (20, 30, 3)
        refused(data, Reason.IMAGE_TOO_LARGE, max_pixels=599)

    def test_own_limit_counts_and_not_that_of_pillow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
        for kind in ("JPEG", "PNG"):
            data = saved(Image.new("RGB", (30, 20)), kind)
            assert read(data).shape == (20, 30, 3)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_shape(self, kind: str) -> None:
        narrow = saved(Image.new("RGB", (15, 40)), kind)
        message = refused(narrow, Reason.IMAGE_SHAPE, min_side=16)
        assert message.endswith("expected sides of at least 16 pixels, got 15 x 40")
        assert read(narrow, min_side=15).shape == (40, 15, 3)
        long = saved(Image.new("RGB", (20, 401)), kind)
        message = refused(long, Reason.IMAGE_SHAPE)
        assert message.endswith("expected one side at most 20 times the other, got 20 x 401")
        assert read(saved(Image.new("RGB", (20, 400)), kind)).shape == (400, 20, 3)

    def test_line_of_20000_pixels(self) -> None:
        for size in ((1, 20_000), (20_000, 1)):
            data = saved(Image.new("RGB", size), "PNG")
            refused(data, Reason.IMAGE_SHAPE, min_side=16)
            refused(data, Reason.IMAGE_SHAPE)

    @pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
    def test_metadata_is_not_unpacked(self, name: bytes) -> None:
        squashed = zlib.compress(bytes(64 * 2**20))
        head = b"x\0\1\0\0\0" if name == b"iTXt" else b"x\0\0"
        data = png((4, 4), 8, 0, bytes(4), chunk(name, head + squashed))
        tracemalloc.start()
        try:
            assert read(data).shape == (4, 4, 3)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()

    @settings(deadline=None)
    @given(st.binary(max_size=3), st.integers(98, 102), st.sampled_from([b"", b"\xff", b"\xda\0"]))
    def test_scans_are_counted_wherever_they_stand(
        self, before: bytes, scans: int, between: bytes
    ) -> None:
        data = b"\xff\xd8\xff\xda" + before + (b"\xff\xda" + between) * (scans - 1)
        message = refused(data, Reason.IMAGE_UNREADABLE)
        assert ("at most 100 scans" in message) == (data.count(b"\xff\xda") > 100)

    def test_jpeg_of_endless_scans(self) -> None:
        data = saved(Image.fromarray(smooth(32, 32)), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        message = refused(data[:-2] + data[last:-2] * 200 + data[-2:], Reason.IMAGE_UNREADABLE)
        assert "at most 100 scans" in message


def with_checksum(data: bytes) -> bytes:
    """A PNG whose header was tampered with, its checksum made right; others as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


def small_files() -> dict[str, bytes]:
    rgb = Image.fromarray(smooth(24, 20))
    rgba = rgb.copy()
    rgba.putalpha(128)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": saved(rgb, "JPEG", exif=exif.tobytes()),
        "progressive jpeg": saved(rgb, "JPEG", progressive=True),
        "cmyk jpeg": saved(rgb.convert("CMYK"), "JPEG"),
        "multi-picture jpeg": saved(rgb, "MPO", save_all=True, append_images=[rgb]),
        "png": saved(rgb, "PNG", exif=exif.tobytes()),
        "rgba png": saved(rgba, "PNG"),
        "palette png": saved(rgb.quantize(16), "PNG", transparency=3),
        "16-bit png": saved(
            Image.fromarray(np.arange(480, dtype=np.uint16).reshape(24, 20) * 99), "PNG"
        ),
        "animated png": apng(2),
        "webp": saved(rgb, "WEBP", exif=exif.tobytes()),
        "lossless webp": saved(rgba, "WEBP", lossless=True),
        "animated webp": animated_webp(),
    }


FILES = small_files()


def survives(data: bytes) -> None:
    """A picture within the limits, or a refusal that leaks nothing."""
    refusal = None
    try:
        pixels = read(data, max_pixels=100_000)
    except ServiceError as err:
        refusal = err
    if refusal is None:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert 0 < pixels.size <= 300_000
    else:
        assert refusal.reason in IMAGE_REASONS
        assert not LEAK.search(refusal.message)


@pytest.mark.parametrize("name", FILES)
def test_every_prefix_is_a_picture_or_refused(name: str) -> None:
    data = FILES[name]
    for cut in range(len(data)):
        survives(data[:cut])
    refused(data[: len(data) // 3], Reason.IMAGE_UNREADABLE)


def test_what_follows_a_picture_is_ignored() -> None:
    for name in ("jpeg", "png", "webp"):
        assert np.array_equal(read(FILES[name] + b"\0" * 50), read(FILES[name]))


edits = st.lists(
    st.tuples(
        st.integers(0, 2**16), st.binary(max_size=6), st.integers(0, 6)
    ),  # where, what, how much goes
    min_size=1,
    max_size=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FILES)), edits, st.booleans())
def test_mutated_files(name: str, changes: list[tuple[int, bytes, int]], mend: bool) -> None:
    data = FILES[name]
    for place, new, gone in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + gone :]
    survives(mended(data) if mend else data)


def mended(data: bytes) -> bytes:
    """A PNG with right checksums, so that changes reach past them; others as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        parts.append(chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(parts) + data[at:]


def test_memory_that_runs_out_is_not_the_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", out_of_memory)
    with pytest.raises(MemoryError):
        read(FILES["png"])


def test_modes_that_no_file_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PngImagePlugin._MODES, (8, 0), ("F", "F;8"))
    assert "mode F" in refused(png((4, 4), 8, 0, bytes(4)), Reason.IMAGE_UNREADABLE)
