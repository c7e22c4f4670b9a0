"""``python -m diptych_torch.convert CHECKPOINT OUTPUT``: a pickled state dict to safetensors.

Meant for a process that is thrown away. The checkpoint is read with ``weights_only=True``, which
builds tensors and plain containers and runs nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""Names under which training scripts put a state dict."""

_MAX_DEPTH = 4  # a pickle may contain itself


class CheckpointError(Exception):
    """The file holds no state dict; the message is one line."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a pickle, also from within ``WRAPPERS``, one in another.

    Raises:
        CheckpointError: it cannot be read as tensors only, or holds something else.
    """
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
    return content


def _inner(content: object) -> object:
    if not isinstance(content, dict):
        return content
    inner = (content[name] for name in WRAPPERS if isinstance(content.get(name), dict))
    return next(inner, content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file and return the exit status; the last line on stderr says why it failed."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        sys.stderr.write("usage: python -m diptych_torch.convert CHECKPOINT OUTPUT\n")
        return 2
    try:
        state = read_checkpoint(Path(given[0]))
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # safetensors refuses tensors that share memory, such as tied or sliced ones.
    save_file({key: value.clone().contiguous() for key, value in state.items()}, given[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
