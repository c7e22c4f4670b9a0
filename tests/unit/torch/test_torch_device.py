"""Which device is chosen, how torch is set up for it, and what the card says of it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
import torchvision

from diptych_runtime.engine import Tier
from diptych_runtime.settings import SettingsError
from diptych_torch.device import (
    Compute,
    capability,
    choose_device,
    describe,
    peak_bytes_reader,
    prepare,
)
from diptych_torch.settings import TorchSettings

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says that there is one, but nothing computes on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 7)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5, 8))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def backends() -> Iterator[SimpleNamespace]:
    """Torch's switches for TF32, set back afterwards."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield SimpleNamespace(cudnn=cudnn, matmul=matmul)
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.usefixtures("gpu")
def test_auto_takes_the_first_gpu() -> None:
    assert choose_device("auto") == choose_device("cuda:0") == GPU
    assert choose_device("cpu") == CPU


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == CPU


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_not_there_is_named() -> None:
    expected = "DIPTYCH_DEVICE='cuda:0': this process sees no CUDA device; use auto or cpu"
    with pytest.raises(SettingsError) as caught:
        choose_device("cuda:0")
    assert str(caught.value) == expected


@pytest.mark.usefixtures("gpu")
def test_a_gpu_is_described() -> None:
    assert describe(GPU) == "cuda:0 NVIDIA H200"
    assert capability(GPU) == (9, 0)
    assert peak_bytes_reader(GPU)() == 7


def test_the_cpu_is_described() -> None:
    assert (describe(CPU), capability(CPU), peak_bytes_reader(CPU)()) == ("cpu", None, 0)


def test_a_gpu_is_used_without_tf32(backends: SimpleNamespace) -> None:
    prepare(CPU, None)
    assert backends.cudnn.allow_tf32
    prepare(GPU, None)
    assert not backends.cudnn.allow_tf32
    assert not backends.matmul.allow_tf32


def test_threads_are_set_only_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", wanted.append)
    prepare(CPU, None)
    prepare(CPU, 3)
    assert wanted == [3]


@pytest.mark.usefixtures("gpu", "backends")
def test_a_gpu_that_multiplies_bfloat16_is_fast_by_itself() -> None:
    compute = Compute.from_settings(TorchSettings(tier="auto"))
    assert compute == Compute(GPU, Tier.FAST)
    fields = compute.card_fields()
    assert fields["peak_device_bytes"]() == 7
    assert fields["free_device_bytes"]() == 5
    assert fields["device"] == "cuda:0 NVIDIA H200"
    assert (fields["dtype"], fields["tier"]) == ("bfloat16", "fast")


def test_the_tier_decides_the_type() -> None:
    exact = Compute.from_settings(TorchSettings(device="cpu", tier="exact"))
    assert (exact.dtype, exact.card_fields()["dtype"]) == (torch.float32, "float32")
    fast = Compute.from_settings(TorchSettings(device="cpu", tier="fast"))
    assert (fast.dtype, fast.card_fields()["dtype"]) == (torch.bfloat16, "bfloat16")


def test_software_names_what_computes() -> None:
    software = Compute(CPU, Tier.EXACT).card_fields("torchvision", "sam2")["software"]
    assert software == (
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"sam2 {metadata.version('sam2')}"
    )
