"""Run lengths row by row, as CVAT and Label Studio have them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mask import Mask

_CHANNELS = 4  # Label Studio's brush paints red, green, blue and alpha
_LENGTH_BITS = (3, 4, 8, 16)
_VALUE_BITS = 8
_MOST = 1 << _LENGTH_BITS[-1]
_BLOCK = 1 << 18  # runs that are written at a time


def row_runs(mask: Mask) -> tuple[NDArray[np.int64], int, int, int, int]:
    """Run lengths within the box around the object, row by row, background first; and that box's
    left, top, width and height."""
    crop, left, top = mask.to_crop()
    rows, columns = crop.shape
    return _lengths(crop.ravel()), left, top, columns, rows


def _lengths(flat: NDArray[np.bool_]) -> NDArray[np.int64]:
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    lengths = np.diff(changes, prepend=0, append=len(flat))
    return lengths.astype(np.int64)


def label_studio(mask: Mask) -> list[int]:
    """The bytes of Label Studio's run lengths for a whole picture.

    See ``decode_rle`` of ``label_studio_sdk.converter.brush``: 32 bits of the number of values,
    5 of the bits of a value less 1, 4 times 4 of the bits of lengths less 1; then for each run a 1,
    2 bits that say which of the four its length has, the length less 1, and the value.
    """
    height, width = mask.size
    crop, left, top = mask.to_crop()
    rows, columns = crop.shape
    framed = np.zeros((rows, columns + 2), np.bool_)
    framed[:, 1:-1] = crop
    y, x = np.divmod(np.flatnonzero(framed[:, 1:] != framed[:, :-1]), columns + 1)
    toggles = (y + top) * width + x + left
    same = np.flatnonzero(toggles[1:] == toggles[:-1])  # a run that goes on in the next row
    toggles = np.delete(toggles, np.concatenate((same, same + 1)))
    bounds = np.concatenate(([0], toggles, [height * width]))
    lengths = np.diff(bounds) * _CHANNELS
    values = np.arange(len(lengths)) % 2 * 255
    pieces = -(-lengths // _MOST)
    last = lengths - (pieces - 1) * _MOST
    values = np.repeat(values, pieces)
    ends = np.cumsum(pieces) - 1
    split = np.full(int(pieces.sum()), _MOST, np.int64)
    split[ends[pieces > 0]] = last[pieces > 0]
    head = [
        *_bits(np.array([height * width * _CHANNELS]), 32)[0],
        *_bits(np.array([_VALUE_BITS - 1]), 5)[0],
        *(bit for size in _LENGTH_BITS for bit in _bits(np.array([size - 1]), 4)[0]),
    ]
    blocks = [np.array(head, np.uint8)]
    for start in range(0, len(split), _BLOCK):
        part = slice(start, start + _BLOCK)
        blocks.append(_written(split[part] - 1, values[part]))
    return np.packbits(np.concatenate(blocks)).tolist()


def _written(lengths: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bits of runs, one after the other."""
    kind = np.searchsorted([1 << bits for bits in _LENGTH_BITS], lengths, side="right")
    sizes = np.array(_LENGTH_BITS)[kind]
    most = _LENGTH_BITS[-1]
    bits = np.concatenate(
        (
            np.ones((len(lengths), 1), np.uint8),
            _bits(kind, 2),
            _bits(lengths, most),
            _bits(values, _VALUE_BITS),
        ),
        axis=1,
    )
    kept = np.ones(bits.shape, np.bool_)
    kept[:, 3 : 3 + most] = np.arange(most) >= most - sizes[:, None]
    return bits[kept]


def _bits(numbers: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    places = np.arange(count - 1, -1, -1)
    return (numbers[:, None] >> places & 1).astype(np.uint8)
