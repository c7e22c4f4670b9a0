"""The COCO run-length codec: strings as pycocotools writes them to run lengths and back.

Run lengths ("counts") go column by column, background first; the first may be 0, no other is. In
the compressed string a count becomes chunks of 5 bits, lowest first, each plus 48, with bit 5 set
while more follow; from index 3 on, the difference to the count two before is written instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint32]
"""Canonical run lengths, read-only."""

Positions = NDArray[np.int64]
"""Column-major pixel positions: ``x * height + y``."""

_CHUNK_BITS = 5
_MORE = 0x20
_SIGN = 0x10
_OFFSET = 48
_MAX_CHUNKS = 7  # 35 bits: holds every difference of two 32-bit counts


def encode(counts: Counts) -> bytes:
    """The compressed string of these run lengths."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2].astype(np.int64)
    lengths = np.ones(len(values), np.int64)
    for chunks in range(1, _MAX_CHUNKS):
        # A value fits when all bits from its sign bit up are equal: 0 or -1 after the shift.
        rest = values >> (_CHUNK_BITS * chunks - 1)
        too_long = (rest != 0) & (rest != -1)
        if not too_long.any():
            break
        lengths += too_long
    column = np.arange(lengths.max(initial=0))
    grid = (values[:, None] >> (_CHUNK_BITS * column)) & 0x1F
    grid |= np.where(column < lengths[:, None] - 1, _MORE, 0)
    kept: NDArray[np.int64] = grid[column < lengths[:, None]]
    return (kept + _OFFSET).astype(np.uint8).tobytes()


def decode(data: bytes, pixels: int) -> Counts:
    """The run lengths of a compressed string for a mask of so many pixels.

    Raises ``ValueError`` for strings that no mask of that size has.
    """
    chunks = np.frombuffer(data, np.uint8) - np.uint8(_OFFSET)
    if not len(chunks):
        raise ValueError("COCO run lengths: expected a string, got nothing")
    if chunks.max() >= 2 * _MORE:  # bytes below the offset have wrapped round to large ones
        raise ValueError("COCO run lengths: expected bytes from '0' to 'o' only, got others")
    last = np.flatnonzero(chunks < _MORE)
    if not len(last) or last[-1] != len(chunks) - 1:
        raise ValueError("COCO run lengths: expected whole numbers, got a string that breaks off")
    if len(last) > pixels + 1:
        raise ValueError(
            f"COCO run lengths: expected at most {pixels + 1}, got too many, {len(last)}"
        )
    lengths = np.diff(last, prepend=-1)
    if lengths.max() > _MAX_CHUNKS:
        raise ValueError("COCO run lengths: expected numbers of up to 35 bits, got a longer one")
    values = chunks[last].astype(np.int64)
    values -= (values & _SIGN) << 1
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        values[longer] = values[longer] << _CHUNK_BITS | chunks[last[longer] - place] & 0x1F
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return check(values, pixels)


def check(counts: NDArray[np.integer], pixels: int) -> Counts:
    """Canonical run lengths from any that alternate and fill the mask; else ``ValueError``."""
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(
            f"run lengths: expected a flat array of integers, got {counts.dtype} {counts.shape}"
        )
    if not len(counts):
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got no runs")
    smallest, largest = int(counts.min()), int(counts.max())
    if smallest < 0:
        raise ValueError(f"run lengths: expected 0 or more, got {smallest}")
    # Bounding each one first keeps the sum from running over.
    if largest > pixels:
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got a run of {largest}")
    total = int(counts.sum(dtype=np.int64))
    if total != pixels:
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got {total}")
    if counts[1:].all():
        return frozen(counts)
    return from_toggles(np.cumsum(counts, dtype=np.int64)[:-1], pixels)


def from_toggles(toggles: Positions, pixels: int) -> Counts:
    """Run lengths from the sorted positions where a run begins or ends.

    A position that comes twice cancels out, and one at the very end means nothing.
    """
    if len(toggles) and toggles[-1] == pixels:
        toggles = toggles[toggles < pixels]
    if len(toggles) > 1 and (toggles[1:] == toggles[:-1]).any():
        toggles, times = np.unique(toggles, return_counts=True)
        toggles = toggles[times % 2 == 1]
    return frozen(np.diff(toggles, prepend=0, append=pixels))


def frozen(counts: NDArray[np.integer]) -> Counts:
    """A read-only copy as uint32."""
    copy = counts.astype(np.uint32)
    copy.setflags(write=False)
    return copy
