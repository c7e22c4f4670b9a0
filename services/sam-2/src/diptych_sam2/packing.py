"""Features of an image as bytes, and back: the tensors one by one, as they lie in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from .network.image import ImageFeatures, Network

_FORM = 1
"""Another number for every change after which features of before give other masks."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pack(features: ImageFeatures) -> tuple[str, list[memoryview]]:
    """Give a note for ``unpack``, and the bytes of each tensor."""
    tensors = features.decoder_input.tensors()
    orders = [_order(tensor) for tensor in tensors]
    note = {
        "form": _FORM,
        "size": features.size,
        "tensors": [
            [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), order]
            for tensor, order in zip(tensors, orders, strict=True)
        ],
    }
    pairs = zip(tensors, orders, strict=True)
    blocks = [_bytes(tensor.permute(order)) for tensor, order in pairs]
    return json.dumps(note), blocks


def unpack(note: str, blocks: Sequence[memoryview], network: Network) -> ImageFeatures:
    """Make features again, on the network's device; on the CPU they keep the blocks.

    Raises:
        ValueError: another release packed them in another way.
    """
    said = json.loads(note)
    if said["form"] != _FORM:
        raise ValueError(f"expected features of form {_FORM}, got {said['form']}")
    height, width = said["size"]
    pairs = zip(blocks, said["tensors"], strict=True)
    return network.restored([_tensor(block, *how) for block, how in pairs], (height, width))


def _bytes(tensor: Tensor) -> memoryview:
    lying = tensor.detach().contiguous().cpu().flatten()
    view: memoryview = lying.view(torch.uint8).numpy().data
    return view


def _tensor(block: memoryview, dtype: str, shape: Sequence[int], order: Sequence[int]) -> Tensor:
    flat = torch.frombuffer(block, dtype=_DTYPES[dtype])
    lying = flat.view([shape[axis] for axis in order])
    return lying.permute([order.index(axis) for axis in range(len(order))])


def _order(tensor: Tensor) -> list[int]:
    """The axes from the farthest apart in memory to the nearest: kept, so that products are as
    quick, and round, as they were."""
    strides = tensor.stride()
    return sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
