"""Pictures as cameras, scanners and programs write them: one scene in many files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIZE = (64, 48)
"""Width and height of the scene, upright."""
# How the scene has to be stored so that this orientation brings it upright.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_XMP = (
    "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)


def scene() -> Image.Image:
    """Four coloured quarters, so that every turn of it looks different; smooth, for JPEG."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    height, width = SIZE[1] // 2, SIZE[0] // 2
    pixels[:height, :width] = (220, 30, 30)
    pixels[:height, width:] = (30, 200, 60)
    pixels[height:, :width] = (40, 60, 230)
    pixels[height:, width:] = (240, 230, 120)
    return Image.fromarray(pixels)


def noise() -> Image.Image:
    """A picture every pixel of which is told by the file alone."""
    pixels = np.random.default_rng(5).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file of an image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def stored(orientation: int) -> Image.Image:
    """The scene as a file of this orientation holds it."""
    method = STORED[orientation]
    return scene() if method is None else scene().transpose(method)


def exif(orientation: int) -> bytes:
    """An EXIF block that says it."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def xmp(orientation: int) -> bytes:
    """An XMP block that says it."""
    return _XMP.format(orientation).encode()


def chunk(kind: bytes, data: bytes = b"", *, broken: bool = False) -> bytes:
    """A chunk of a PNG; ``broken``: its checksum is wrong."""
    checksum = zlib.crc32(kind + data) ^ broken
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def after_header(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks behind its header."""
    return b"".join((png[:33], *chunks, png[33:]))


def raw_profile(orientation: int) -> bytes:
    """The EXIF block as ImageMagick writes it into the texts of a PNG."""
    block = exif(orientation)
    return f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()


def turned() -> Iterator[tuple[str, bytes]]:
    """Files that say how the scene has to be turned, each way of saying it."""
    kinds = {"jpg": ("JPEG", {"quality": 95, "subsampling": 0}), "webp": ("WEBP", {"lossless": 1})}
    kinds["png"] = ("PNG", {})
    for number in STORED:
        for suffix, (kind, options) in kinds.items():
            yield (
                f"exif{number}.{suffix}",
                saved(stored(number), kind, exif=exif(number), **options),
            )
    for number in (3, 6):
        image = stored(number)
        yield f"xmp{number}.jpg", saved(image, "JPEG", xmp=xmp(number), quality=95, subsampling=0)
        yield f"xmp{number}.webp", saved(image, "WEBP", xmp=xmp(number), lossless=True)
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(number)
        plain = saved(image, "PNG")
        yield f"xmp{number}.png", after_header(plain, chunk(b"iTXt", text))
        profile = raw_profile(number)
        name = b"Raw profile type exif\0"
        yield f"magick{number}.png", after_header(plain, chunk(b"tEXt", name + profile))
        packed = name + b"\0" + zlib.compress(profile)
        yield f"packed{number}.png", after_header(plain, chunk(b"zTXt", packed))
    both = {"exif": exif(6), "xmp": xmp(3)}
    yield "exif6-xmp3.jpg", saved(stored(6), "JPEG", quality=95, subsampling=0, **both)
    yield "exif6-xmp3.webp", saved(stored(6), "WEBP", lossless=True, **both)


def coloured() -> Iterator[tuple[str, bytes]]:
    """Files of every colour space and depth that the three formats have."""
    image, grey = scene(), np.asarray(scene().convert("L")).astype(np.uint16)
    yield "grey.png", saved(image.convert("L"), "PNG")
    yield "grey.jpg", saved(image.convert("L"), "JPEG")
    yield "bilevel.png", saved(image.convert("1"), "PNG")
    yield "grey16.png", saved(Image.fromarray(grey * 257), "PNG")
    yield "grey12in16.png", saved(Image.fromarray(grey * 16), "PNG")
    rgb16 = np.asarray(image).astype(">u2") * 257
    opaque = np.full((*rgb16.shape[:2], 1), 40_000)
    yield "rgb16.png", _png(rgb16, 16, 2)
    yield "rgb16-key.png", _png(rgb16, 16, 2, chunk(b"tRNS", rgb16[0, 0].astype(">u2").tobytes()))
    yield "rgba16.png", _png(np.concatenate([rgb16, opaque], axis=2), 16, 6)
    yield "la16.png", _png(np.dstack([grey * 257, opaque]), 16, 4)
    yield (
        "grey16-key.png",
        _png(grey * 257, 16, 0, chunk(b"tRNS", struct.pack(">H", grey[0, 0] * 257))),
    )
    two_bits = np.packbits(np.arange(SIZE[1] * SIZE[0]) % 8 // 4).reshape(SIZE[1], -1)
    yield "grey2-key.png", _png(two_bits, 2, 0, chunk(b"tRNS", b"\0\1"), width=SIZE[0] // 2)
    yield "palette.png", saved(image.quantize(64), "PNG")
    yield (
        "palette-alpha.png",
        saved(image.quantize(4), "PNG", transparency=bytes([0, 90, 255, 255])),
    )
    for name, kind, options in (
        ("cmyk", "CMYK", {}),
        ("progressive", "RGB", {"progressive": True}),
    ):
        yield f"{name}.jpg", saved(image.convert(kind), "JPEG", quality=95, **options)
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    yield "alpha.png", saved(clear, "PNG")
    yield "alpha.webp", saved(clear, "WEBP", lossless=True)
    yield "alpha-lossy.webp", saved(clear, "WEBP", quality=80)
    yield "lossy.webp", saved(image, "WEBP", quality=80)
    yield "grey-alpha.png", saved(clear.convert("LA"), "PNG")
    small = image.resize((16, 16))
    yield "mpo.jpg", saved(image, "MPO", save_all=True, append_images=[small], quality=95)
    yield "trailing.jpg", saved(image, "JPEG") + bytes(4096) + b"MotionPhoto_Data"
    yield "interlaced.png", saved(image, "PNG", interlace=1)


def damaged() -> Iterator[tuple[str, bytes]]:
    """Files that something is wrong with, but no pixel is missing."""
    for name, progressive in (("baseline", False), ("progressive", True)):
        whole = saved(noise(), "JPEG", progressive=progressive)
        yield f"{name}-without-end.jpg", whole[:-2]
        yield f"{name}-half-an-end.jpg", whole[:-1]
    png = saved(scene(), "PNG")
    yield "text-checksum.png", after_header(png, chunk(b"tEXt", b"a\0bc", broken=True))
    yield "unknown-checksum.png", after_header(png, chunk(b"prVt", b"x", broken=True))
    yield (
        "xmp-checksum.png",
        after_header(png, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(1), broken=True)),
    )
    yield "pixels-checksum.png", _other_checksum(png, b"IDAT")
    yield "end-checksum.png", _other_checksum(png, b"IEND")
    yield "without-end.png", png[:-12]
    yield "half-an-end.png", png[:-6]
    yield "without-the-check-of-pixels.png", png[:-20]
    yield "cut-in-a-text-behind.png", png[:-12] + chunk(b"tEXt", b"a\0" + bytes(90))[:40]
    whole = saved(scene(), "WEBP", lossless=True, exif=exif(1), xmp=xmp(1))
    yield "cut-in-metadata.webp", whole[:-40]


def missing() -> Iterator[tuple[str, bytes]]:
    """Files that lack pixels, or whose pixels are others than were written."""
    for name, progressive in (("baseline", False), ("progressive", True)):
        whole = saved(noise(), "JPEG", progressive=progressive)
        for cut in (5, 20, len(whole) // 20, len(whole) // 2):
            yield f"{name}-{cut}-bytes-less.jpg", whole[:-cut]
        if progressive:
            last = whole.rindex(b"\xff\xda")
            yield "without-its-last-scan.jpg", whole[:last]
    png = saved(noise(), "PNG")
    yield "cut.png", png[: len(png) * 19 // 20]
    yield "header-checksum.png", _other_checksum(png, b"IHDR")
    yield "palette-checksum.png", _other_checksum(saved(scene().quantize(8), "PNG"), b"PLTE")
    yield "other-pixels.png", png[: len(png) // 2] + b"\x55" + png[len(png) // 2 + 1 :]
    webp = saved(noise(), "WEBP", lossless=True)
    yield "cut.webp", webp[: len(webp) * 19 // 20]


def elsewhere() -> Iterator[tuple[str, bytes]]:
    """Files of formats that servers do not read, of the scene upright; without HEIC."""
    image = scene()
    yield "x.gif", saved(image, "GIF")
    yield (
        "frames.gif",
        saved(image, "GIF", save_all=True, append_images=[ImageOps.mirror(image)], duration=100),
    )
    yield "x.bmp", saved(image, "BMP")
    yield "grey.bmp", saved(image.convert("L"), "BMP")
    for name, options in (("x", {}), ("packed", {"compression": "tiff_lzw"})):
        yield f"{name}.tif", saved(image, "TIFF", **options)
    yield "jpeg.tif", saved(image, "TIFF", compression="jpeg", quality=95)
    yield "cmyk.tif", saved(image.convert("CMYK"), "TIFF")
    yield (
        "grey16.tif",
        saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "TIFF"),
    )
    yield "pages.tif", saved(image, "TIFF", save_all=True, append_images=[ImageOps.mirror(image)])
    yield "exif6.tif", saved(stored(6), "TIFF", exif=exif(6))
    yield "x.avif", saved(image, "AVIF", quality=95, subsampling="4:4:4")
    yield "exif6.avif", saved(stored(6), "AVIF", quality=95, subsampling="4:4:4", exif=exif(6))


def _png(
    pixels: NDArray[np.generic], bits: int, kind: int, extra: bytes = b"", width: int = 0
) -> bytes:
    rows = b"".join(b"\0" + (row.astype(">u2") if bits == 16 else row).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width or pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _other_checksum(png: bytes, kind: bytes) -> bytes:
    at = png.index(kind) - 4
    end = at + 12 + int.from_bytes(png[at : at + 4])
    return png[: end - 1] + bytes([png[end - 1] ^ 1]) + png[end:]
