"""``python -m diptych_maskrcnn.weights.convert CHECKPOINT OUTPUT``: a state dict to safetensors.

Meant for a process that is thrown away. The checkpoint is a pickle; it is read with
``weights_only=True``, which builds tensors and plain containers and runs nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

_WRAPPERS = ("model", "state_dict", "model_state_dict")


class CheckpointError(Exception):
    """The file holds no state dict; the message is one line."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint, also one level down, as training scripts save it.

    Raises:
        CheckpointError: it cannot be read as tensors only, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise almost anything on bytes they do not know
        raise CheckpointError(
            f"not a checkpoint of tensors only ({type(error).__name__})"
        ) from error
    if isinstance(content, dict):
        content = next((content[key] for key in _WRAPPERS if key in content), content)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"expected a state dict, found {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"expected names and tensors, found {key!r}: {type(value).__name__}"
            )
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file; the last line on stderr says why it failed."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        sys.stderr.write("usage: python -m diptych_maskrcnn.weights.convert CHECKPOINT OUTPUT\n")
        return 2
    try:
        state = read_state(Path(given[0]))
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # safetensors refuses tensors that share memory, such as tied or sliced ones.
    save_file({key: value.clone().contiguous() for key, value in state.items()}, given[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
