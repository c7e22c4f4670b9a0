"""``python -m diptych_torch.convert CHECKPOINT OUTPUT``: a pickled state dict to safetensors.

Meant for a process that is thrown away. The checkpoint is read with ``weights_only=True``, which
builds tensors and plain containers and runs nothing else. What it may inflate to is bounded by the
checkpoint's size, and the process ends with the one that started it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""Names under which training scripts put a state dict."""

SHARED = 4
"""How often a checkpoint may show the same bytes: tied tensors share theirs, and get their own."""

_ROOM_BYTES = 1 << 20  # small files have more names than numbers
_COPIES = 6  # of the checkpoint in memory: read, cloned, written, each with some to spare
_LEAST_MEMORY_BYTES = 1 << 30
_PR_SET_PDEATHSIG = 1
_MAX_DEPTH = 4  # a pickle may contain itself


class CheckpointError(Exception):
    """The file holds no state dict; the message is one line."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a pickle, also from within ``WRAPPERS``, one in another.

    Raises:
        CheckpointError: it cannot be read as tensors only, holds something else, or inflates.
    """
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise almost anything on bytes they do not know
        raise CheckpointError(
            f"not a checkpoint of tensors only ({type(error).__name__})"
        ) from error
    for _ in range(_MAX_DEPTH):
        content = _inner(content)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"expected a state dict, found {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"expected names and tensors, found {key!r}: {type(value).__name__}"
            )
    _check_size(content.values(), path)
    return content


def _check_archive(path: Path) -> None:
    """Refuse records that take more room than the file: torch stores them as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(record.file_size for record in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # an older kind of pickle, or something that torch says no to
    if inflated > path.stat().st_size:
        raise CheckpointError(f"its records would inflate to {inflated} bytes")


def _check_size(tensors: Iterable[Tensor], path: Path) -> None:
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if total > SHARED * path.stat().st_size + _ROOM_BYTES:
        raise CheckpointError(f"its tensors would inflate to {total} bytes")


def _inner(content: object) -> object:
    if not isinstance(content, dict):
        return content
    inner = (content[name] for name in WRAPPERS if isinstance(content.get(name), dict))
    return next(inner, content)


def confine(checkpoint: Path) -> None:
    """Bound what this process takes for a checkpoint, and have it end with its parent.

    An unpickler reserves what the pickle says before it looks whether the bytes are there.
    """
    torch.set_num_threads(1)  # each further one reserves memory of its own
    if sys.platform != "linux":
        return
    size = checkpoint.stat().st_size if checkpoint.is_file() else 0
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + _LEAST_MEMORY_BYTES + _COPIES * size
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    written = 2 * (SHARED * size + _ROOM_BYTES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file and return the exit status; the last line on stderr says why it failed."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        sys.stderr.write("usage: python -m diptych_torch.convert CHECKPOINT OUTPUT\n")
        return 2
    if os.path.lexists(given[1]):
        sys.stderr.write(f"{given[1]} is there already and is not overwritten\n")
        return 1
    try:
        state = read_checkpoint(Path(given[0]))
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # safetensors refuses tensors that share memory, such as tied or sliced ones.
    save_file({key: value.clone().contiguous() for key, value in state.items()}, given[1])
    return 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
    sys.exit(main())
