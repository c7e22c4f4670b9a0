"""Checkpoints to safetensors, in a process that is thrown away."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .download import WeightsError

_TIMEOUT_S = 900
_MAX_HEADER_BYTES = 1 << 24
"""A header has some 150 bytes a tensor, and the largest network here a thousand of them."""

_UNFINISHED = ".converting-"


def convert(checkpoint: Path, output: Path, *, converter: Sequence[str]) -> None:
    """Run the converter in a process of its own; ``output`` appears whole or not at all.

    One conversion at a time works in a folder, so what it finds there of others was left by one
    that was killed, and is removed.

    Raises:
        WeightsError: it failed, took too long, or wrote something else than safetensors.
    """
    with _workplace(output.parent) as folder:
        made = folder / output.name
        if converter:
            _run([*converter, str(checkpoint), str(made)], checkpoint)
        else:
            shutil.copyfile(checkpoint, made)
        check_safetensors(made)
        os.replace(made, output)


def check_safetensors(path: Path) -> None:
    """Check a safetensors file by its header, without reading its tensors.

    Raises:
        WeightsError: it is none, or its tensors overlap, leave gaps or lie outside of it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        _check_header(header, size - 8 - length)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise WeightsError(
            f"{path.name} is not a safetensors file: {reason}; get the weights again"
        ) from error


def _check_header(header: object, data_bytes: int) -> None:
    if not isinstance(header, dict) or not set(header) - {"__metadata__"}:
        raise ValueError("it names no tensor")
    end = 0
    tensors = (entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    for begin, after in sorted((int(begin), int(after)) for begin, after in tensors):
        if begin != end or after < begin:
            raise ValueError(f"a tensor begins at byte {begin}, the one before ends at {end}")
        end = after
    if end != data_bytes:
        raise ValueError(f"its tensors have {end} bytes, {data_bytes} are there")


@contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A folder for this call alone; the lock goes with the process, the folder may not."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in parent.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory("", _UNFINISHED, parent) as folder:
            yield Path(folder)
    finally:
        os.close(descriptor)


def _run(command: Sequence[str], checkpoint: Path) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(
            f"converting {checkpoint.name} took over {_TIMEOUT_S} s and was stopped; "
            "try again on a machine that is less busy"
        ) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise WeightsError(
            f"{checkpoint.name} could not be converted to safetensors: {last[:300]}; check that "
            "it holds the state dict of one model"
        )
