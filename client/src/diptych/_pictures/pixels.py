"""Pixels in the forms in which callers have them, as an upright PIL image that a PNG can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..pixels import GREY16_MODE, orientation

if TYPE_CHECKING:
    import PIL.Image

# What holds the pixels of a PIL image of another mode without loss, where there is such a mode.
_HELD_BY = {
    **{mode: mode for mode in ("1", "L", "LA", "P", "RGB", "RGBA", GREY16_MODE)},
    **dict.fromkeys(("RGBX", "CMYK", "YCbCr", "HSV", "LAB"), "RGB"),
    **dict.fromkeys(("RGBa", "PA"), "RGBA"),
    "La": "LA",
}
_OTHER_GREY16_MODES = ("I", "I;16B", "I;16L", "I;16N")
_CHANNELS = (1, 3, 4)
_ACCEPTED = (
    "expected an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, "
    "or floats from 0 to 1"
)


def is_pixels(image: object) -> bool:
    """Whether a value holds pixels: an array, a tensor or a PIL image."""
    return _is_of(image, "PIL") or hasattr(image, "__array__")


def upright_image(image: Any) -> PIL.Image.Image:
    """What ``is_pixels``, in a mode that PNG has, turned as its metadata says.

    Raises:
        ValueError: shape, type, range or mode is none that is accepted.
    """
    if _is_of(image, "PIL"):
        return _of_pil(image)
    if _is_of(image, "torch"):
        return _of_array(_of_tensor(image))
    return _of_array(np.asarray(image))


def _is_of(image: object, package: str) -> bool:
    # By name, so that a package is loaded by those alone who use it.
    kinds = type(image).__mro__
    return any(kind.__module__.partition(".")[0] == package for kind in kinds)


def _of_pil(image: PIL.Image.Image) -> PIL.Image.Image:
    from PIL import Image

    if 0 in image.size:
        raise ValueError(f"image: expected pixels, got a PIL image of size {image.size}")
    image.load()  # a TIFF is turned by that, and a PNG only then has all of its metadata
    turn = orientation(image)
    if image.mode in _OTHER_GREY16_MODES:
        held = Image.fromarray(_grey16(image))
    elif image.mode == "P" and image.palette and image.palette.mode != "RGB":
        held = image.convert("RGBA")
    elif (mode := _HELD_BY.get(image.mode)) is not None:
        held = image if mode == image.mode else image.convert(mode)
    else:
        raise ValueError(
            f"image: expected a PIL image of 8 or 16 bits a channel, got mode {image.mode!r}, "
            "the range of which is not known; convert it, for example to 'L' or 'RGB'"
        )
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return held if turn == 1 else held.transpose(methods[turn])


def _grey16(image: PIL.Image.Image) -> NDArray[np.uint16]:
    """Grey values of the modes that Pillow has for 16 bits; ``I`` is one of them when it fits."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise ValueError(
            f"image: expected values from 0 to 65535 in a PIL image of mode {image.mode!r}, "
            f"got {low} to {high}"
        )
    return values.astype(np.uint16)


def _of_tensor(tensor: Any) -> NDArray[Any]:
    if tensor.device.type != "cpu":
        raise ValueError(
            f"image: expected a tensor on the CPU, got one on {tensor.device}; call cpu()"
        )
    tensor = tensor.detach()
    # numpy has no bfloat16.
    pixels: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    channels_first = pixels.ndim == 3 and pixels.shape[0] in _CHANNELS
    return np.moveaxis(pixels, 0, -1) if channels_first else pixels


def _of_array(array: NDArray[Any]) -> PIL.Image.Image:
    from PIL import Image

    shape = array.shape
    pixels = array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array
    coloured = pixels.ndim == 3 and shape[2] in _CHANNELS
    if not (pixels.ndim == 2 or coloured) or pixels.size == 0:
        raise _refused(array)
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype.kind == "f":
        pixels = _of_floats(pixels)
    elif pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        # PNG has 16 bits for colour too, but Pillow writes them for grey alone.
        pixels = (pixels >> 8).astype(np.uint8) if coloured else pixels.astype(np.uint16)
    elif pixels.dtype != np.uint8:
        raise _refused(array)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _refused(array: NDArray[Any]) -> ValueError:
    hint = ""
    if array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[2] not in _CHANNELS:
        hint = "; its channels come first: pass numpy.moveaxis(image, 0, -1)"
    elif array.ndim == 4:
        hint = "; pass the pictures of a batch one by one"
    return ValueError(f"image: {_ACCEPTED}, got shape {array.shape} and dtype {array.dtype}{hint}")


def _of_floats(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = pixels.min(), pixels.max()
    if not 0 <= low <= high <= 1:  # also false for NaN
        raise ValueError(f"image: expected floats from 0 to 1, got {low:g} to {high:g}")
    scaled = np.multiply(pixels, 255, dtype=np.float32)
    rounded: NDArray[np.uint8] = np.rint(scaled, out=scaled).astype(np.uint8)
    return rounded
