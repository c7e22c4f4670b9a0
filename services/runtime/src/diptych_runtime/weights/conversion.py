"""Checkpoints to safetensors, in a process that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .download import WeightsError

_TIMEOUT_S = 900
_MAX_HEADER_BYTES = 100_000_000  # what the safetensors library itself allows


def convert(checkpoint: Path, output: Path, *, converter: Sequence[str]) -> None:
    """Run the converter in a process of its own; ``output`` appears whole or not at all.

    Raises:
        WeightsError: it failed, took too long, or wrote something else than safetensors.
    """
    temporary = output.with_name(f"{output.name}.{os.getpid()}.tmp")
    try:
        if converter:
            _run([*converter, str(checkpoint), str(temporary)], checkpoint)
        else:
            shutil.copyfile(checkpoint, temporary)
        check_safetensors(temporary)
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def check_safetensors(path: Path) -> None:
    """Check the header of a safetensors file, without reading its tensors.

    Raises:
        WeightsError: it does not.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 2 <= length <= _MAX_HEADER_BYTES else None
    except (OSError, ValueError):
        header = None
    if not isinstance(header, dict) or not set(header) - {"__metadata__"}:
        raise WeightsError(f"{path.name} is not a safetensors file; get the weights again")


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
            "it is a state dict of tensors and nothing else"
        )
