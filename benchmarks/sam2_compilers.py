"""The image encoder of SAM 2 as compilers and other runtimes make it, beside ours without any.

    python benchmarks/sam2_compilers.py [--size tiny] [--rounds 7] [--threads 2] [--autotune]
        [--tiers exact,fast]

OpenVINO is installed by this script, into a folder of its own; compilers need a C++ compiler.
Prepares for some minutes; with ``--autotune`` for many. On a CPU only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import devices
import machine
import sam2_models
import tiers
import torch
import torch.nn.functional as F
import versus
from torch import Tensor, nn

from diptych_runtime.engine import Tier
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.quick import attention, encoder

Encodes = Callable[[Tensor], list[Tensor]]
_Kind = Callable[[str, torch.dtype], nn.Module]

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


class _Layer(nn.Module):
    """What ``attention.Product`` computes, as a layer that compilers look into and know the weights
    of."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight, self.bias)

    def gelu(self, rows: Tensor) -> Tensor:
        return F.gelu(self(rows))

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        return other + self(rows)


class _Ours(nn.Module):
    """Our encoder with such layers."""

    def __init__(self, size: str, dtype: torch.dtype) -> None:
        super().__init__()
        model = sam2_models.stock(size).eval().to(dtype)
        self.layers = nn.ModuleList()
        kind = mock.Mock(side_effect=self._layer, of=lambda one: self._layer(one.weight, one.bias))
        with mock.patch.object(encoder, "Product", kind):
            self.encoder = encoder.QuickEncoder(model)
        self.rest = model.image_encoder
        has_amx = attention._has_amx()
        attention._has_amx = lambda: has_amx  # type: ignore[assignment]
        # All cells at once: unrolled, the parts would be compiled one by one.
        for run in self.encoder._trunk._runs:
            run.local = False

    def _layer(self, weight: Tensor, bias: Tensor | None) -> _Layer:
        self.layers.append(made := _Layer(weight, bias))
        return made

    def forward(self, square: Tensor) -> list[Tensor]:
        """As ``_Levels``."""
        return self.encoder(square)


def _stock(size: str, square: Tensor) -> Encodes:
    return _Levels(size, torch.float32)


def _autocast(size: str, square: Tensor) -> Encodes:
    return torch.autocast("cpu", torch.bfloat16)(_Levels(size, torch.float32))


def _ours(tier: Tier, size: str, square: Tensor) -> Encodes:
    return assemble(sam2_models.stock(size), devices.CPU, tier).encoder


def _inductor(
    kind: _Kind, dtype: torch.dtype, autotune: bool, size: str, square: Tensor
) -> Encodes:
    options: dict[str, str | int | bool | Callable[..., object]] = {"freezing": True}
    if autotune:
        options["max_autotune"] = True
    compiled = torch.compile(kind(size, dtype), fullgraph=True, dynamic=False, options=options)
    with torch.no_grad():
        compiled(square)
    return compiled


def _exported(dtype: torch.dtype, size: str, square: Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(_Ours(size, dtype), (square,), strict=False)


def _package(dtype: torch.dtype, size: str, square: Tensor) -> Encodes:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/encoder.pt2"
        exported = _exported(dtype, size, square)
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(
                exported, package_path=path, inductor_configs={"freezing": True}
            )
        print(f"  package of {os.stat(path).st_size / 1e6:.0f} MB", flush=True)
        return torch._inductor.aoti_load_package(path)  # type: ignore[no-any-return]


def _openvino(precision: str, size: str, square: Tensor) -> Encodes:
    ov = _installed()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        # As a service would have it: two that pin their threads would meet on the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    converted = ov.convert_model(_exported(torch.float32, size, square))
    compiled = ov.Core().compile_model(converted, "CPU", settings)

    def encode(square: Tensor) -> list[Tensor]:
        found = compiled([square.numpy()])
        return [torch.from_numpy(found[output]) for output in compiled.outputs]

    return encode


def _installed() -> Any:
    if not _FOLDER.exists():
        print(f"installing {OPENVINO}", flush=True)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
        # Without what it depends on: numpy is here, and another one must not shadow it. Nor does it
        # get its telemetry, which would call its makers at each import.
        command = (*pip, "install", "--no-deps", "--target", _FOLDER, OPENVINO)
        subprocess.run(command, check=True, timeout=_INSTALL_S)
    sys.path.append(str(_FOLDER))
    import openvino

    return openvino


def ways(tier: Tier, autotune: bool) -> Iterator[Way]:
    """All that compute as a tier does, or as its numbers allow."""
    exact = tier is Tier.EXACT
    dtype = torch.float32 if exact else torch.bfloat16
    word = "float32" if exact else "bfloat16"
    if not exact:
        yield Way("stock, autocast to bfloat16", _autocast, _NOTHING)
    yield Way(f"ours, {tier}", partial(_ours, tier), _NOTHING)
    if exact:
        compiled = partial(_inductor, _Levels, dtype, False)
        yield Way(f"stock through torch.compile, {word}", compiled, _COMPILER)
    compiled = partial(_inductor, _Ours, dtype, False)
    yield Way(f"ours through torch.compile, {word}", compiled, _COMPILER)
    if autotune:
        compiled = partial(_inductor, _Ours, dtype, True)
        yield Way(f"ours through max-autotune, {word}", compiled, _COMPILER)
    yield Way(f"ours through AOTInductor, {word}", partial(_package, dtype), _PACKAGE)
    yield Way(
        f"ours through OpenVINO, {word}", partial(_openvino, "f32" if exact else "bf16"), _RUNTIME
    )


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
    chosen = tiers.chosen(args.tiers, devices.CPU)
    every = [way for name in chosen.names for way in ways(Tier(name), args.autotune)]
    for way in (Way(versus.STOCK, _stock, _NOTHING), *every):
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
        notes=[*chosen.notes, *notes],
    )


def _difference(ours: list[Tensor], stock: list[Tensor]) -> str:
    share = (ours[-1].float() - stock[-1]).abs().mean() / stock[-1].abs().mean()
    return f"coarsest map differs by {share:.2g} of its mean size"


if __name__ == "__main__":
    machine.as_engine_process()
    # What an earlier run left would make compilers seem quick.
    with (
        tempfile.TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache),
    ):
        main()
