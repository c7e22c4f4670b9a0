"""Converts a checkpoint of the published form to safetensors.

    python -m diptych_sam2.weights.convert CHECKPOINT.pt OUTPUT.safetensors

A checkpoint is a pickle; this runs in a process of its own and reads tensors only.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def convert(checkpoint: Path, output: Path) -> None:
    """Write the state dict of ``{"model": state_dict}``, or a bare state dict, as safetensors.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise almost anything on bytes they do not know
        raise ValueError(f"not a checkpoint of tensors only ({type(error).__name__})") from error
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not state:
        raise ValueError(f"expected a state dict of tensors, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"expected tensors under names, got {type(value).__name__} at {name}")
    # Copies, because safetensors refuses tensors that share memory.
    save_file({name: value.clone().contiguous() for name, value in state.items()}, output)


def main() -> int:
    """Entry point; returns the exit status. The last line on stderr says why it failed."""
    if len(sys.argv) != 3:
        sys.stderr.write(
            "usage: python -m diptych_sam2.weights.convert CHECKPOINT.pt OUTPUT.safetensors\n"
        )
        return 2
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
