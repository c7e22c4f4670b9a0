"""What the tests of the shared torch layer need: one thread, a cache and settings of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where converted weights go; no setting of the machine is seen."""
    for name in os.environ:
        if name.startswith("DIPTYCH_") and name != "DIPTYCH_TIER":
            monkeypatch.delenv(name)
    folder = tmp_path / "cache"
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(folder))
    return folder
