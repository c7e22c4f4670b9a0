"""Files that are read again when they change: certificates and tokens are exchanged while we serve.

What is in force is swapped in one step and only for something that could be read whole; a broken
file changes nothing but the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from .settings import SettingsError

CHECK_S = 1.0
"""Pause between two checks."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

T = TypeVar("T")
Contents = Mapping[str, bytes]
"""Files by the name of their setting."""


class WatchedFiles(Generic[T]):
    """Some files that belong together, and what ``parse`` makes of them.

    ``paths`` are named by their settings, for messages. ``parse`` raises a ``SettingsError`` that
    says what is wrong with which file.

    Raises:
        SettingsError: a file cannot be used now.
    """

    def __init__(self, paths: Mapping[str, Path], parse: Callable[[Contents], T]) -> None:
        self._paths = dict(paths)
        self._parse = parse
        # Read by other threads, such as those of TLS handshakes.
        self.value: T
        self.usable = True
        """Whether ``value`` is what the files hold, and not what they held before they broke."""
        self._judged = self._last = self._read()
        self.value = self._parsed(self._judged)

    async def follow(self, on_change: Callable[[T], object] | None = None) -> None:
        """Check for changes until cancelled; ``on_change`` gets each new value."""
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                if await asyncio.to_thread(self.check) and on_change is not None:
                    on_change(self.value)
            except Exception as error:  # one check that failed must not be the last one
                _log.error("look at files failed", files=self._names(), exc_info=error)

    def check(self) -> bool:
        """Read the files; whether ``value`` is now a new one.

        A change counts when two checks in a row have found the same. So a file that is just being
        written, or a certificate whose key comes a moment later, is not taken for a broken one.
        """
        found = self._read()
        settled, self._last = found == self._last, found
        if found == self._judged or not settled:
            return False
        try:
            value = self._parsed(found)
        except SettingsError as error:
            self._judged = found
            self.usable = False
            _log.error("file cannot be used, what was read before stays", cause=str(error))
            return False
        if self._read() != found:  # ``parse`` may have looked at files that changed under it
            return False
        self._judged = found
        self.value = value
        self.usable = True
        _log.info("files read again", files=self._names())
        return True

    def _names(self) -> dict[str, str]:
        return {name: str(path) for name, path in self._paths.items()}

    def _read(self) -> Contents | str:
        """Read the files; a message instead if one of them cannot be read."""
        contents = {}
        for name, path in self._paths.items():
            try:
                contents[name] = path.read_bytes()
            except OSError as error:
                return f"{name}={path}: {(error.strerror or 'cannot be read').lower()}"
        return contents

    def _parsed(self, found: Contents | str) -> T:
        if isinstance(found, str):
            raise SettingsError(found)
        return self._parse(found)
