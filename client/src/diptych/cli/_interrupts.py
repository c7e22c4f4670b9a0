"""Ctrl-C where a library may swallow it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Interrupts:
    """While it is entered, an interrupt is raised as ever, and remembered.

    PyAV swallows a ``KeyboardInterrupt`` that is raised inside it. Interrupts that somebody else
    ignores or handles stay theirs. With ``first`` the first one is not raised: that is called in
    its place, in the handler, and ends what goes on in good order.
    """

    def __init__(self, first: Callable[[], object] | None = None) -> None:
        self._first = first
        self._heard = False
        self._ours = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
            self._ours = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if there was an interrupt."""
        if self._heard:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            first()
            return
        self._heard = True
        raise KeyboardInterrupt
