"""What the profile of a benchmark counts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("operations")


def made(*sizes: int) -> torch.Tensor:
    return torch.ones(sizes)


PRODUCTS: dict[str, tuple[Callable[[], object], int]] = {
    "linear": (lambda: F.linear(made(5, 7, 3), made(4, 3), made(4)), 2 * 35 * 3 * 4),
    "matmul": (lambda: made(2, 6, 3) @ made(2, 3, 5), 2 * 2 * 6 * 3 * 5),
    "addmm": (lambda: torch.addmm(made(5), made(6, 3), made(3, 5)), 2 * 6 * 3 * 5),
    "convolution": (lambda: F.conv2d(made(1, 3, 8, 8), made(4, 3, 2, 2), None, 2), 2 * 16 * 4 * 12),
    "transposed": (
        lambda: F.conv_transpose2d(made(1, 3, 4, 4), made(3, 5, 2, 2), None, 2),
        2 * 16 * 3 * 5 * 4,
    ),
    "attention": (
        lambda: F.scaled_dot_product_attention(
            made(1, 2, 6, 8), made(1, 2, 9, 8), made(1, 2, 9, 8)
        ),
        2 * 2 * 6 * 9 * (8 + 8),
    ),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("inference", [True, False])
def test_what_a_product_multiplies(operations: ModuleType, product: str, inference: bool) -> None:
    make, flop = PRODUCTS[product]
    with torch.inference_mode(inference), operations.Operations() as seen:
        make()
    assert seen.flop == flop
    assert seen.seconds[operations.PRODUCTS] > 0


def test_what_is_no_product(operations: ModuleType) -> None:
    rows = made(64, 64)
    with torch.inference_mode(), operations.Operations() as seen:
        F.gelu(F.layer_norm(rows, (64,))).softmax(-1)
    assert seen.flop == 0
    assert seen.seconds[operations.PRODUCTS] == 0
    assert seen.seconds[operations.SOFTMAX] > 0
    assert seen.seconds[operations.LAYERS] > 0
    assert sum(seen.seconds.values()) <= seen.elapsed_s
