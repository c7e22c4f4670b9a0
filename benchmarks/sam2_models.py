"""SAM 2 of a published architecture with random weights, as the package and as ours.

Times do not depend on the values of weights. On a GPU there is a third side: the package's model
with its encoder compiled, as its own ``compile_image_encoder`` does it, under bfloat16 autocast, as
its notebooks run it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

import devices
import machine
import numpy as np
import tiers
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from skimage import data

from diptych_runtime.engine import Tier
from diptych_sam2.network.build import build_model
from diptych_sam2.network.parts import Parts, assemble
from diptych_sam2.weights.checkpoints import packaged_config

CONFIGS = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
HALF = "stock half"
T = TypeVar("T")


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """What every script takes: which network, how many rounds, on how many threads, where, and
    which tiers."""
    made = argparse.ArgumentParser(description=str(doc).splitlines()[0])
    made.add_argument("--size", default="tiny", choices=CONFIGS)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--threads", type=int, default=2)
    devices.add_argument(made)
    tiers.add_argument(made)
    return made


def prepare(args: argparse.Namespace) -> tuple[torch.device, tiers.Chosen]:
    """Take threads, device and tiers from the arguments, and say on what this runs."""
    machine.as_engine_process()
    torch.set_num_threads(args.threads)
    device = devices.chosen(args.device)
    print(machine.describe() + devices.described(device))
    return device, tiers.chosen(args.tiers, device)


def stock(size: str, device: torch.device = devices.CPU) -> SAM2Base:
    """The package's model; each call makes the same weights."""
    torch.manual_seed(0)
    config = packaged_config(f"configs/sam2.1/sam2.1_hiera_{CONFIGS[size]}.yaml")
    return build_model(config).to(device)


def stock_half(size: str, device: torch.device) -> SAM2Base:
    """The package's model with a compiled encoder; ask it ``in_half``."""
    model = stock(size, device)
    devices.compile_forward(model.image_encoder)
    return model


def in_half(ask: Callable[[], T], device: torch.device) -> Callable[[], T]:
    """The same under bfloat16 autocast."""

    def asked() -> T:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return ask()

    return asked


def ours(size: str, device: torch.device, chosen: tiers.Chosen) -> dict[str, Parts]:
    """Our parts by tier."""
    return {name: assemble(stock(size), device, Tier(name)) for name in chosen.names}


def photograph() -> NDArray[np.uint8]:
    """A real photograph, 512 pixels high and wide."""
    picture: NDArray[np.uint8] = data.astronaut()
    return picture
