"""The settings of every torch engine, and what a model says of a value that cannot be used."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from service_list import MODELS

from diptych_runtime.engine import LoadError
from diptych_runtime.settings import SettingsError, from_environment
from diptych_torch.settings import TorchSettings


@pytest.fixture(params=sorted(MODELS))
def engine_module(request: pytest.FixtureRequest) -> Any:
    """The module that makes the engine of each model."""
    return importlib.import_module(f"{MODELS[request.param].package}.engine")


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIPTYCH_TIER")
    settings = from_environment(TorchSettings)
    assert (settings.device, settings.threads, settings.tier) == ("auto", None, "auto")


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEVICE", "THREADS", "TIER"):
        monkeypatch.setenv(f"DIPTYCH_{name}", "")
    assert from_environment(TorchSettings) == TorchSettings(tier="auto")


def test_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_DEVICE", "cuda:0")
    monkeypatch.setenv("DIPTYCH_THREADS", "3")
    monkeypatch.setenv("DIPTYCH_TIER", "fast")
    settings = from_environment(TorchSettings)
    assert (settings.device, settings.threads, settings.tier) == ("cuda:0", 3, "fast")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIPTYCH_THREADS", "two"),
        ("DIPTYCH_THREADS", "0"),
        ("DIPTYCH_DEVICE", "tpu"),
        ("DIPTYCH_DEVICE", "cuda:1"),
        ("DIPTYCH_DEVICE", "cuda:7"),
        ("DIPTYCH_TIER", "sloppy"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    engine_module: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}='{value}'"):
        from_environment(TorchSettings)
    with pytest.raises(LoadError, match=f"{name}='{value}'"):
        engine_module.create()


def test_a_gpu_that_is_not_there_is_named(
    engine_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("DIPTYCH_DEVICE", "cuda:0")
    with pytest.raises(LoadError, match="DIPTYCH_DEVICE='cuda:0': this process sees no CUDA"):
        engine_module.create().load()


def test_without_a_gpu_the_cpu_is_taken(
    engine_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("DIPTYCH_THREADS", "1")
    assert engine_module.create().load().device == "cpu"
