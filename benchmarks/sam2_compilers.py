"""The image encoder of SAM 2 as compilers and other runtimes make it, beside ours without any.

python benchmarks/sam2_compilers.py [--size tiny] [--rounds 7] [--threads 2] [--autotune]

OpenVINO is installed by this script, into a folder of its own. Prepares for some minutes; with
``--autotune`` for many.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import machine
import sam2_models
import torch
import versus
from torch import Tensor, nn

from diptych_runtime.tier import Tier
from diptych_sam2 import products
from diptych_sam2.encoder import Encoder
from diptych_sam2.parts import assemble

Encodes = Callable[[Tensor], list[Tensor]]

OPENVINO = "openvino==2026.4.1"
_FOLDER = Path(__file__).resolve().parent.parent / ".tools" / "compilers" / OPENVINO
_INSTALL_S = 900.0
_COMPILER = "a C++ compiler and a writable folder, each time a process starts"
_PACKAGE = "a file of 2 to 4 times the weights that is made for one kind of processor"
_RUNTIME = "200 MB of another runtime; no compiler, but it is prepared when a process starts"
_NOTHING = "nothing"


@dataclass(frozen=True)
class Way:
    """One way to run the encoder."""

    name: str
    make: Callable[[str, Tensor], Encodes]
    needs: str
    """At run time, beyond torch and the weights."""


class _Levels(nn.Module):
    """What ``set_image`` asks of sam2's own encoder, as a module."""

    def __init__(self, size: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = sam2_models.stock(size).eval().to(dtype)

    def forward(self, square: Tensor) -> list[Tensor]:
        """The maps that the mask decoder takes, the finest first."""
        levels: list[Tensor] = self.model.forward_image(square)["backbone_fpn"]
        return levels


class _Ours(nn.Module):
    """Our encoder of the fast tier with plain layers, which compilers look into."""

    def __init__(self, size: str) -> None:
        super().__init__()
        model = sam2_models.stock(size).eval().to(torch.bfloat16)
        with mock.patch.object(torch.backends.mkldnn, "is_available", return_value=False):
            self.encoder = Encoder(model)
        has_amx = products._has_amx()
        products._has_amx = lambda: has_amx  # type: ignore[assignment]
        # All places at once: unrolled, the parts would be compiled one by one.
        for run in self.encoder._trunk._runs:
            run.local = False

    def forward(self, square: Tensor) -> list[Tensor]:
        """As ``_Levels``."""
        return self.encoder(square)


def _stock(size: str, square: Tensor) -> Encodes:
    return _Levels(size, torch.float32)


def _autocast(size: str, square: Tensor) -> Encodes:
    return torch.autocast("cpu", torch.bfloat16)(_Levels(size, torch.float32))


def _ours(tier: Tier, size: str, square: Tensor) -> Encodes:
    return assemble(sam2_models.stock(size), sam2_models.CPU, tier).encoder


def _inductor(autotune: bool, size: str, square: Tensor) -> Encodes:
    options: dict[str, str | int | bool | Callable[..., object]] = {"freezing": True}
    if autotune:
        options["max_autotune"] = True
    compiled = torch.compile(_Ours(size), fullgraph=True, dynamic=False, options=options)
    with torch.no_grad():
        compiled(square)
    return compiled


def _package(size: str, square: Tensor) -> Encodes:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/encoder.pt2"
        with torch.no_grad():
            exported = torch.export.export(_Ours(size), (square,), strict=False)
            torch._inductor.aoti_compile_and_package(
                exported, package_path=path, inductor_configs={"freezing": True}
            )
        print(f"  package of {os.stat(path).st_size / 1e6:.0f} MB", flush=True)
        return torch._inductor.aoti_load_package(path)  # type: ignore[no-any-return]


def _openvino(precision: str, size: str, square: Tensor) -> Encodes:
    ov = _installed()
    with torch.no_grad():
        converted = ov.convert_model(_Levels(size, torch.float32), example_input=square)
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = ov.Core().compile_model(converted, "CPU", settings)

    def encode(square: Tensor) -> list[Tensor]:
        found = compiled([square.numpy()])
        return [torch.from_numpy(found[output]) for output in compiled.outputs]

    return encode


def _installed() -> Any:
    if not _FOLDER.exists():
        print(f"installing {OPENVINO}", flush=True)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
        # Without what it depends on: numpy is here, and another one must not shadow it.
        command = (*pip, "install", "--no-deps", "--target", _FOLDER, OPENVINO)
        subprocess.run(command, check=True, timeout=_INSTALL_S)
    sys.path.append(str(_FOLDER))
    import openvino

    return openvino


WAYS = (
    Way(versus.STOCK, _stock, _NOTHING),
    Way("stock, autocast to bfloat16", _autocast, _NOTHING),
    Way("ours, exact", partial(_ours, Tier.EXACT), _NOTHING),
    Way("ours, fast", partial(_ours, Tier.FAST), _NOTHING),
    Way("ours through torch.compile, bfloat16", partial(_inductor, False), _COMPILER),
    Way("ours through AOTInductor, bfloat16", _package, _PACKAGE),
    Way("OpenVINO, float32", partial(_openvino, "f32"), _RUNTIME),
    Way("OpenVINO, bfloat16", partial(_openvino, "bf16"), _RUNTIME),
)
AUTOTUNED = Way("ours through max-autotune, bfloat16", partial(_inductor, True), _COMPILER)


def main() -> None:
    """Measure and print."""
    parser = sam2_models.parser(__doc__, rounds=7)
    parser.add_argument("--autotune", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine.describe())
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(1, 3, 1024, 1024, generator=generator)
    sides: dict[str, Callable[[], object]] = {}
    notes, rows, made = [], [], {}
    for way in (*WAYS, AUTOTUNED) if args.autotune else WAYS:
        started = time.perf_counter()
        try:
            encode = way.make(args.size, square)
            # Not inference mode: what was compiled without it refuses its tensors.
            with torch.no_grad():
                made[way.name] = encode(square)
        except Exception as error:
            reason = str(error).partition("\n")[0][:200]
            rows.append(machine.Row(way.name, "sam2, float32", quality=f"not made: {reason}"))
            print(f"{way.name}: {reason}", flush=True)
            continue
        spent = time.perf_counter() - started
        notes.append(f"{way.name}: ready after {spent:.0f} s; needs {way.needs}.")
        print(f"{notes[-1]}", flush=True)
        sides[way.name] = partial(encode, square)
    name = f"SAM 2.1 {args.size}, image encoder"
    with torch.no_grad():
        seconds = versus.measure(name, sides, rounds=args.rounds)
    for side in list(sides)[1:]:
        pair = {key: seconds[key] for key in (versus.STOCK, side)}
        quality = _difference(made[side], made[versus.STOCK])
        rows += versus.rows(name, "sam2, float32", pair, {}, quality)
        print(f"  {side}: {quality}")
    machine.keep(
        f"sam2_compilers_{args.size}",
        {"threads": args.threads, "seconds": seconds},
        rows=rows,
        notes=notes,
    )


def _difference(ours: list[Tensor], stock: list[Tensor]) -> str:
    share = (ours[-1].float() - stock[-1]).abs().mean() / stock[-1].abs().mean()
    return f"coarsest map differs by {share:.2g} of its mean size"


if __name__ == "__main__":
    sam2_models.as_engine_process()
    main()
