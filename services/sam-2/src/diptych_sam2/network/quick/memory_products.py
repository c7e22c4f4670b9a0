"""Attention of a frame to its memories, on a CPU.

Each cell attends to tens of thousands of others, so scores are made in blocks of rows and of keys
that stay in a core's cache. A softmax over such blocks would need the largest score of a row, known
only at the end. It is not needed as long as no sum of exponentials leaves the range of numbers,
which is checked afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .attention import attention

_ROWS = 512
"""For each thread: they share a block, and with few rows they mostly wait for each other."""
_KEYS = 1024
_RANGE = (1e-26, 1e30)
"""Of a row's sum: above it products with values could overflow, below it terms get lost."""


def attention_to_memories(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute scaled dot-product attention with one head.

    Args:
        queries: ``(n, p, width)`` float32 or bfloat16.
        keys: ``(n, m, width)`` of the same type.
        values: ``(n, m, value width)`` of the same type.

    Returns:
        ``(n, p, value width)`` in the type of the inputs.
    """
    if queries.device.type != "cpu":
        return attention(queries[:, None], keys[:, None], values[:, None])[:, 0]
    scaled = queries * queries.shape[-1] ** -0.5
    attended = values.new_empty(*queries.shape[:2], values.shape[-1])
    rows = _ROWS * torch.get_num_threads()
    # One for all blocks: memory that comes from the system has to be cleared first.
    scores = queries.new_empty(rows, _KEYS)
    for one, own_queries in enumerate(scaled):
        blocks = zip(torch.split(own_queries, rows), torch.split(attended[one], rows), strict=True)
        for block, result in blocks:
            result.copy_(_block_attention(block, keys[one], values[one], scores[: len(block)]))
    return attended


def _block_attention(queries: Tensor, keys: Tensor, values: Tensor, scores: Tensor) -> Tensor:
    """``(rows, value width)`` for one object; ``scores`` is room for them."""
    summed = queries.new_zeros(len(queries), values.shape[-1], dtype=torch.float32)
    total = queries.new_zeros(len(queries), 1, dtype=torch.float32)
    blocks = zip(torch.split(keys, _KEYS), torch.split(values, _KEYS), strict=True)
    for block_keys, block_values in blocks:
        weights = torch.mm(queries, block_keys.t(), out=scores[:, : len(block_keys)]).exp_()
        total += weights.sum(-1, keepdim=True, dtype=torch.float32)
        summed += torch.mm(weights, block_values)
    least, most = _RANGE
    if ((total > least) & (total < most)).all():
        return summed.div_(total)
    return torch.mm(torch.mm(queries, keys.t()).softmax(-1), values)
