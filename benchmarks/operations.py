"""Times every operation of torch inside a block, and counts what its products multiply."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS, SOFTMAX, LAYERS = "products", "softmax", "normalization and activation"
KINDS = (PRODUCTS, SOFTMAX, LAYERS)


def _by_inputs(at: int) -> Callable[[Sequence[Any], Tensor], int]:
    """For products whose operand at this place has its inputs in the last dimension."""
    return lambda args, made: 2 * made.numel() * int(args[at].shape[-1])


def _convolution(args: Sequence[Any], made: Tensor) -> int:
    transposed = len(args) > 6 and args[6]
    return _at_each_place(args[0] if transposed else made, args[1])


def _at_each_place(places: Tensor, weight: Tensor) -> int:
    return 2 * places.numel() * (weight.numel() // weight.shape[0])


def _attention(args: Sequence[Any], made: Tensor) -> int:
    queries, keys, values = args[:3]
    scores = int(queries.shape[:-1].numel()) * int(keys.shape[-2])
    return 2 * scores * (int(queries.shape[-1]) + int(values.shape[-1]))


_FLOP: dict[str, Callable[[Sequence[Any], Tensor], int]] = {
    **dict.fromkeys(("mm", "bmm", "linear", "matmul", "_linear_pointwise"), _by_inputs(0)),
    **dict.fromkeys(("addmm", "baddbmm", "baddbmm_"), _by_inputs(1)),
    **dict.fromkeys(("convolution", "conv2d"), _convolution),
    "conv_transpose2d": lambda args, made: _at_each_place(args[0], args[1]),
    **dict.fromkeys(
        ("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu"), _attention
    ),
}
"""Multiplications and additions by the name of a product."""
_OTHERS = {
    **dict.fromkeys(("softmax", "_softmax", "exp", "exp_", "sum", "amax"), SOFTMAX),
    **dict.fromkeys(
        (
            *("layer_norm", "native_layer_norm", "rms_norm", "gelu", "gelu_", "relu", "relu_"),
            *("sigmoid", "mean", "rsqrt", "sqrt", "pow"),
        ),
        LAYERS,
    ),
}


class Operations(TorchDispatchMode):
    """What ran in the block. Time between two operations is nobody's; of threads, only the one that
    entered is watched."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = dict.fromkeys(KINDS, 0.0)
        self.flop = 0
        self.elapsed_s = 0.0

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.elapsed_s = time.perf_counter() - self._started

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one, and remember."""
        started = time.perf_counter()
        made = func(*args, **(kwargs or {}))
        spent = time.perf_counter() - started
        name = func._overloadpacket._qualified_op_name.rpartition("::")[2]
        if count := _FLOP.get(name):
            self.flop += count(args, made[0] if isinstance(made, tuple) else made)
            self.seconds[PRODUCTS] += spent
        elif kind := _OTHERS.get(name):
            self.seconds[kind] += spent
        return made
