"""How the C library keeps memory that was freed, in processes that messages pass through."""

from __future__ import annotations

import ctypes

# Numbers of malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 64 * 1024 * 1024
_LARGEST_REUSED = 32 * 1024 * 1024  # the most that glibc takes
_ARENAS = 2


def keep_freed_memory() -> None:
    """Let buffers of messages reuse the pages of earlier ones; for a process that starts.

    By default glibc gives megabytes back at once, and the kernel clears them page by page for the
    next message, which for 5 MB took longer than all the rest of a hop. At most 64 MiB are kept in
    each of two arenas. Other libraries of C do as they like.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_REUSED)
        mallopt(_ARENA_MAX, _ARENAS)
