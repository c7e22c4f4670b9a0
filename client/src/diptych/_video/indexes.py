"""Indexes of frames, as callers have them and as messages need them. No I/O."""

from __future__ import annotations


class FrameIndexes:
    """Messages need growing indexes: those of a clip that is played backwards are mirrored."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._newest = -1
        self._falling = False

    def next(self, index: int | None) -> int:
        """The index in the message about the next frame, which is the caller's ``index``, or by
        default the one after the last.

        Raises:
            ValueError: it is negative, or goes the other way than those before.
        """
        if self._first is None:
            if index is not None and index < 0:
                raise ValueError(f"index: expected 0 or more, got {index}")
            return index or 0
        newest = self.mirrored(self._newest)
        if index is None:
            index = newest - 1 if self._falling else newest + 1
        # Which way they go, the second frame says.
        falling = index < newest if newest == self._first else self._falling
        if index == newest or (index < newest) != falling:
            way = "less" if falling and newest != self._first else "more"
            raise ValueError(f"index: expected {way} than {newest}, got {index}")
        self._falling = falling
        return self.mirrored(index)

    def sent(self, index: int) -> None:
        """Note the index of the message that is sent now."""
        self._newest = index
        if self._first is None:
            self._first = index

    def mirrored(self, index: int) -> int:
        """The caller's index for the one in messages, and the other way round."""
        return 2 * (self._first or 0) - index if self._falling else index
