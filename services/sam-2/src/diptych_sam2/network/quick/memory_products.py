"""Attention of a frame to its memories, on a CPU.

Each place looks at tens of thousands of others, so scores are made in blocks of rows and of keys
that stay in a core's cache. A softmax over such blocks would need the largest score of a row, known
only at the end. It is not needed as long as no sum of exponentials leaves the range of numbers,
which is checked afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .products import attention

_ROWS = 512
"""For each thread: they share a block, and with few rows they mostly wait for each other."""
_KEYS = 1024
_RANGE = (1e-26, 1e30)
"""Of a row's sum: above it products with values could overflow, below it terms get lost."""


def attention_to_memories(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention of ``(n, rows, width)`` with one head; values may be of another
    width."""
    if queries.device.type != "cpu":
        return attention(queries[:, None], keys[:, None], values[:, None])[:, 0]
    scaled = queries * queries.shape[-1] ** -0.5
    seen = values.new_empty(*queries.shape[:2], values.shape[-1])
    rows = _ROWS * torch.get_num_threads()
    # One for all blocks: memory that comes from the system has to be cleared first.
    scores = queries.new_empty(rows, _KEYS)
    for one, asked in enumerate(scaled):
        parts = zip(torch.split(asked, rows), torch.split(seen[one], rows), strict=True)
        for some, place in parts:
            place.copy_(_seen(some, keys[one], values[one], scores[: len(some)]))
    return seen


def _seen(queries: Tensor, keys: Tensor, values: Tensor, scores: Tensor) -> Tensor:
    seen = queries.new_zeros(len(queries), values.shape[-1], dtype=torch.float32)
    total = queries.new_zeros(len(queries), 1, dtype=torch.float32)
    parts = zip(torch.split(keys, _KEYS), torch.split(values, _KEYS), strict=True)
    for some_keys, some_values in parts:
        weights = torch.mm(queries, some_keys.t(), out=scores[:, : len(some_keys)]).exp_()
        total += weights.sum(-1, keepdim=True, dtype=torch.float32)
        seen += torch.mm(weights, some_values)
    least, most = _RANGE
    if ((total > least) & (total < most)).all():
        return seen.div_(total)
    return torch.mm(torch.mm(queries, keys.t()).softmax(-1), values)
