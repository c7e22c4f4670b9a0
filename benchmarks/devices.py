"""Where a benchmark computes: ``--device auto|cpu|cuda:0``."""

from __future__ import annotations

import argparse

import torch
from torch import nn

CPU = torch.device("cpu")


def add_argument(parser: argparse.ArgumentParser, default: str = "cpu") -> None:
    """Let a script be told its device."""
    parser.add_argument("--device", default=default, choices=("auto", "cpu", "cuda:0"))


def chosen(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first GPU if there is one. Float32 stays float32 there
    on both sides: TF32 is off, as in the exact tier."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda:0" if cuda else "cpu"
    if name != "cpu" and not cuda:
        raise SystemExit(f"--device {name}: this process sees no CUDA device")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(name)


def finish(device: torch.device) -> None:
    """Wait for what was started there; a clock that is read before shows the start alone."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def suffix(device: torch.device) -> str:
    """For names of results, so that those of a GPU stand beside those of a processor."""
    return "" if device.type == "cpu" else f"_{device.type}"


def described(device: torch.device) -> str:
    """What to say of a GPU in the name of a row."""
    return "" if device.type == "cpu" else f", {torch.cuda.get_device_name(device)}"


def compile_forward(module: nn.Module) -> None:
    """Compile a module as sam2's ``compile_image_encoder`` and ``vos_optimized`` do."""
    module.forward = torch.compile(
        module.forward, mode="max-autotune", fullgraph=True, dynamic=False
    )
