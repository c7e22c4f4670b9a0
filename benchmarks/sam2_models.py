"""SAM 2 of a published architecture with random weights, as the package and as ours.

Times do not depend on the values of weights.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from skimage import data

from diptych_runtime.engine_client import ENGINE_ENVIRONMENT
from diptych_runtime.tier import Tier
from diptych_sam2.checkpoints import packaged_config
from diptych_sam2.models import build_model
from diptych_sam2.parts import Parts, assemble

CONFIGS = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
CPU = torch.device("cpu")


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """What every script takes: which network, how many rounds, on how many threads."""
    made = argparse.ArgumentParser(description=str(doc).splitlines()[0])
    made.add_argument("--size", default="tiny", choices=CONFIGS)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--threads", type=int, default=2)
    return made


def as_engine_process() -> None:
    """Start this script again as the service starts its engine: how memory is taken and how threads
    wait can be set from outside only. All sides have it alike."""
    if not ENGINE_ENVIRONMENT.items() <= os.environ.items():
        environment = os.environ | ENGINE_ENVIRONMENT
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def stock(size: str) -> SAM2Base:
    """The package's model; each call makes the same weights."""
    torch.manual_seed(0)
    return build_model(packaged_config(f"configs/sam2.1/sam2.1_hiera_{CONFIGS[size]}.yaml"))


def ours(size: str) -> dict[str, Parts]:
    """Our parts by tier."""
    return {tier.value: assemble(stock(size), CPU, tier) for tier in Tier}


def photograph() -> NDArray[np.uint8]:
    """A real photograph, 512 pixels high and wide."""
    picture: NDArray[np.uint8] = data.astronaut()
    return picture
