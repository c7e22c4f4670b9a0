"""``python -m diptych_torch.convert CHECKPOINT OUTPUT``: a pickled state dict to safetensors.

Meant for a process that is thrown away. The checkpoint is read by ``pickles``, which builds tensors
and plain containers and runs nothing else. What it may inflate to is bounded by the checkpoint's
size, and the process ends with the one that started it.

Beside the tensors the output has what else is worth knowing, as metadata: ``args``, a JSON object
of the plain values that a training script was called with, and ``left_out``, a JSON list of the
further state dicts in the checkpoint.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import pickles

WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""Names under which training scripts put a state dict. Any other name is taken as well if there is
only one state dict."""

ARGS = "args"
LEFT_OUT = "left_out"

SHARED = 4
"""How often a checkpoint may show the same bytes: tied tensors share theirs, and get their own."""

_ROOM_BYTES = 1 << 20  # small files have more names than numbers
_COPIES = 6  # of the checkpoint in memory: read, cloned, written, each with some to spare
_LEAST_MEMORY_BYTES = 1 << 30
_PR_SET_PDEATHSIG = 1
_MAX_DEPTH = 4  # a pickle may contain itself


class CheckpointError(Exception):
    """The file holds no state dict; the message is one line."""


@dataclass(frozen=True)
class Checkpoint:
    """What is taken of a checkpoint."""

    state: dict[str, Tensor]
    args: Mapping[str, Any] = field(default_factory=dict)
    """Plain values that a training script kept under ``args``; empty if it kept none."""
    left_out: tuple[str, ...] = ()
    """Names of further state dicts beside the one that was taken, such as ``model_ema``."""

    @property
    def metadata(self) -> dict[str, str]:
        """All but the tensors, as a safetensors file holds it."""
        return {ARGS: json.dumps(dict(self.args)), LEFT_OUT: json.dumps(self.left_out)}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the state dict in a pickle, also from within ``WRAPPERS``, one in another, or from a
    whole model.

    Raises:
        CheckpointError: it cannot be read, holds no state dict or several, or inflates.
    """
    _check_archive(path)
    try:
        content = pickles.load(path)
    except pickles.UnreadableError as error:
        raise CheckpointError(f"not a checkpoint of tensors only ({error})") from error
    args = _plain(content.get(ARGS)) if isinstance(content, dict) else {}
    left_out: list[str] = []
    for _ in range(_MAX_DEPTH):
        content = _inner(content, left_out)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"expected a state dict, found {pickles.type_name(content)}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"expected names and tensors, found {key!r}: {pickles.type_name(value)}"
            )
    _check_size(content.values(), path)
    return Checkpoint(content, args, tuple(left_out))


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


def _inner(content: object, left_out: list[str]) -> object:
    """Take one wrapping off; names of state dicts beside what is taken go to ``left_out``."""
    if isinstance(content, pickles.Ignored):
        return pickles.module_state(content) or content
    if not isinstance(content, dict):
        return content
    states = [name for name, value in content.items() if _is_state(value)]
    wrapped = (name for name in WRAPPERS if _may_hold_state(content.get(name)))
    taken = next(wrapped, None) or (states[0] if len(states) == 1 else None)
    if taken is not None:
        left_out += [str(name) for name in states if name != taken]
        return content[taken]
    if states:
        raise CheckpointError(
            f"it holds {len(states)} state dicts ({', '.join(map(repr, states))}); "
            f"save the one to serve under {WRAPPERS[0]!r}"
        )
    return content


def _may_hold_state(value: object) -> bool:
    return isinstance(value, dict) or _is_state(value)


def _is_state(value: object) -> bool:
    if isinstance(value, pickles.Ignored):
        return bool(pickles.module_state(value))
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _plain(args: object) -> dict[str, Any]:
    values = args.attributes if isinstance(args, pickles.Ignored) else args
    if not isinstance(values, dict):
        return {}
    plain = str | int | float | bool | None
    return {str(name): value for name, value in values.items() if isinstance(value, plain)}


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
        found = read_checkpoint(Path(given[0]))
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # safetensors refuses tensors that share memory, such as tied or sliced ones.
    tensors = {key: value.clone().contiguous() for key, value in found.state.items()}
    save_file(tensors, given[1], found.metadata)
    return 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
    sys.exit(main())
