"""From the value of a setting to the tensors of a network.

Safetensors files are read as they are. A pickle is converted once, in a process that is thrown
away, and what that leaves is kept by the pickle's digest.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from diptych_runtime.engine import LoadedWeights, Variant
from diptych_runtime.weights import (
    OfficialWeights,
    WeightsError,
    cache_dir,
    check_safetensors,
    convert,
    file_sha256,
    locate,
)

from .card import FILE
from .convert import ARGS, LEFT_OUT, WRAPPERS, Checkpoint

T = TypeVar("T")

CONVERTER = (sys.executable, "-P", "-m", "diptych_torch.convert")
"""The command that turns a pickle into safetensors; two paths go behind it."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
_NAMED = 3  # problems that an error names; a wrong file has hundreds
_INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What compiled and sharded modules put into names, anywhere."""
_AVERAGED = ("ema", "swa", "averag", "teacher")
"""Parts of the names of a second network that is a running mean of the first."""


@dataclass(frozen=True)
class BundledWeights:
    """A safetensors file that comes with a model's package."""

    name: str
    path: Path
    parameter_count: int


@dataclass(frozen=True)
class ChosenWeights:
    """Weights that are there."""

    loaded: LoadedWeights
    path: Path
    section: str
    """Their section of the model card: their name, or ``file`` for the operator's own."""
    key: str | None = None
    """As in ``WeightsSetting``."""

    def read_state(self) -> dict[str, Tensor]:
        """Read the tensors by name, on the CPU; see ``read``.

        Raises:
            WeightsError: the file cannot be read or converted.
        """
        return self.read().state

    def read(self) -> Checkpoint:
        """Read the tensors by name, on the CPU, and what else is known of them.

        Names lose what ``DataParallel``, compilers, Lightning and averages put before them.

        Raises:
            WeightsError: the file cannot be read or converted, or holds several such networks.
        """
        pickled = self.path.suffix != ".safetensors"
        path = _converted(self.path, self.loaded.sha256.hex()) if pickled else self.path
        check_safetensors(path)
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error
        state, others = _unwrapped(state, self.key, self.path.name)
        return Checkpoint(
            state,
            _json(metadata, ARGS, dict) if pickled else {},
            (*(_json(metadata, LEFT_OUT, list) if pickled else ()), *others),
        )


@dataclass(frozen=True)
class WeightsSetting:
    """A variable of the environment that names weights, and what it may name.

    Args:
        variable: Such as ``DIPTYCH_MASK_RCNN_WEIGHTS``; named in errors.
        program: The command whose ``pull`` gets published weights.
        choices: Weights by what the variable calls them; their own names work too.
        further: Values that the caller handles itself, such as ``off``; named in errors.
        key: The name of a tensor that every network of the kind has. What stands before it in a
            file is a wrapping, and tensors outside of the wrapping are left out. ``None`` takes off
            what all names begin with and training scripts are known to put there.
    """

    variable: str
    program: str
    choices: Mapping[str, BundledWeights | OfficialWeights]
    further: tuple[str, ...] = ()
    key: str | None = None

    def choose(self, value: str) -> ChosenWeights:
        """Find the weights of a name or path.

        Raises:
            WeightsError: there are none; the message says what to do about it.
        """
        named = self.choices.get(value) or self._of_name(value)
        if isinstance(named, BundledWeights):
            return ChosenWeights(
                _described(named.name, named.path), named.path, named.name, self.key
            )
        if named is not None:
            stored = locate(named.name, command=f"{self.program} pull {named.name}")
            loaded = LoadedWeights(named.name, stored.sha256, stored.url, stored.size_bytes)
            return ChosenWeights(loaded, stored.path, named.name, self.key)
        path = Path(value).expanduser()
        if path.suffix not in _SUFFIXES:
            names = ", ".join((*self.choices, *self.further))
            suffixes = f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
            raise WeightsError(f"{self.variable}={value!r}: expected {names} or a {suffixes} file")
        if not path.is_file():
            raise WeightsError(f"{self.variable}={value!r}: there is no such file")
        return ChosenWeights(_described(path.stem, path), path, FILE, self.key)

    def variants(self, loaded: ChosenWeights) -> tuple[Variant, ...]:
        """List the weights that could be loaded instead."""
        return tuple(
            Variant(item.name, item.parameter_count, _size_bytes(item))
            for item in self.choices.values()
            if item.name != loaded.section
        )

    def _of_name(self, value: str) -> BundledWeights | OfficialWeights | None:
        return next((item for item in self.choices.values() if item.name == value), None)


def load_into(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a state dict into a network, floats as float32; no tensor may be missing or left over.

    Args:
        network: Changed in place.
        state: Tensors by name.
        name: What an error calls the network.

    Raises:
        WeightsError: they do not belong together, or are no numbers, as after a training run that
            diverged; names the first problems.
    """
    floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    own = network.state_dict()
    broken = [key for key, value in floats.items() if not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(
            f"{len(broken)} of {len(floats)} tensors are not finite, {broken[0]} first: the "
            "training run diverged, take an earlier checkpoint"
        )
    problems = [
        f"{key} has shape {tuple(value.shape)}, expected {tuple(own[key].shape)}"
        for key, value in floats.items()
        if key in own and own[key].shape != value.shape
    ]
    if not problems:
        # Modules may know older names of their tensors, so it is they who say what is missing.
        try:
            result = network.load_state_dict(floats, strict=False)
        except RuntimeError as error:
            raise WeightsError(f"the weights do not fit {name}: {_detail(error)}") from error
        problems = [f"{key} is missing" for key in result.missing_keys]
        problems += [f"{key} is not part of the network" for key in result.unexpected_keys]
    if problems:
        more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise WeightsError(f"the weights do not fit {name}: {'; '.join(problems[:_NAMED])}{more}")


def begins_with(state: Mapping[str, Tensor]) -> str:
    """Name the first tensors, for an error about weights of something else."""
    return ", ".join(list(state)[:_NAMED]) or "nothing"


def parameter_count(network: nn.Module) -> int:
    """Count learned numbers; frozen batch norms are buffers and left out."""
    return sum(parameter.numel() for parameter in network.parameters())


def _detail(error: RuntimeError) -> str:
    """The first thing that torch lists, behind a line that only says that there is one."""
    lines = str(error).splitlines()
    return (lines[1] if len(lines) > 1 else str(error)).strip()[:200]


def _described(name: str, path: Path) -> LoadedWeights:
    return LoadedWeights(name, bytes.fromhex(file_sha256(path)), "", path.stat().st_size)


def _size_bytes(weights: BundledWeights | OfficialWeights) -> int:
    if isinstance(weights, BundledWeights):
        return weights.path.stat().st_size
    return weights.size_bytes


def _converted(pickled: Path, digest: str) -> Path:
    """The safetensors file of a pickle, made if nobody has made it before."""
    kept = cache_dir() / "converted" / f"{digest}.safetensors"
    if not kept.exists():
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(kept.parent, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise WeightsError(
                f"cannot write {kept.parent}; make it writable or set DIPTYCH_WEIGHTS_DIR"
            )
        convert(pickled, kept, converter=CONVERTER)
    return kept


def _json(metadata: Mapping[str, str], name: str, kind: type[T]) -> T:
    value = json.loads(metadata.get(name) or "null")
    return value if isinstance(value, kind) else kind()


def _unwrapped(
    state: dict[str, Tensor], key: str | None, file: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Take wrappings off names; also say which other networks are left out."""
    state = {_plain_name(name): value for name, value in state.items()}
    prefixes = [
        name.removesuffix(key or "")
        for name in state
        if key is not None and (name == key or name.endswith(f".{key}"))
    ]
    if not prefixes:
        return _shared_off(state), []
    chosen = [prefix for prefix in prefixes if not any(word in prefix for word in _AVERAGED)]
    chosen = chosen or prefixes
    if len(chosen) > 1:
        names = ", ".join(repr(prefix) for prefix in chosen)
        raise WeightsError(
            f"{file} holds {len(chosen)} networks, under {names}; save the one to serve alone"
        )
    (prefix,) = chosen
    inner = tuple(other for other in prefixes if len(other) > len(prefix))
    taken = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix) and not name.startswith(inner)
    }
    outside = (n for n in state if not n.startswith(prefix) or n.startswith(inner))
    return taken, sorted({name.partition(".")[0] for name in outside})


def _plain_name(name: str) -> str:
    for inserted in _INSERTED:
        name = name.replace(inserted, "")
    return name


def _shared_off(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while state:
        shared = (f"{name}." for name in WRAPPERS if all(k.startswith(f"{name}.") for k in state))
        prefix = next(shared, None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
