"""How memory is kept and found again, in processes that messages pass through."""

from __future__ import annotations

import asyncio
import ctypes
import gc

# Numbers of malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 64 * 1024 * 1024
_LARGEST_REUSED = 8 * 1024 * 1024  # the most that glibc takes
_ARENAS = 2
_REST_S = 2.0


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


def keep_what_is_there() -> None:
    """Have Python's collector never again look at what there is now; for a process that is ready.

    Modules, classes and a loaded model stay to the end. Going through them takes tens of
    milliseconds, in which no other thread runs, whenever requests have left many objects.
    """
    gc.collect()
    gc.freeze()


def give_back_soon() -> None:
    """``give_back_memory`` in a moment, in a thread; for the event loop that is running."""
    loop = asyncio.get_running_loop()
    loop.call_later(_REST_S, loop.run_in_executor, None, give_back_memory)


def give_back_memory() -> None:
    """Give what was freed back to the system, what ``keep_freed_memory`` keeps as well.

    For the time after many large messages: what lies between small ones still in use is not given
    back otherwise. Takes milliseconds, in which no other thread gets memory.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
