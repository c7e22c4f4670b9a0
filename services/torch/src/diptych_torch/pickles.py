"""Reads a pickled checkpoint without running anything that it names.

torch's own restricted unpickler builds tensors and plain containers, and refuses a whole file for
one entry of another type: the arguments of a training script, a number of numpy. Here such entries
become ``Ignored``, classes of ours that take whatever they are given. What a file names is neither
imported nor called.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_PICKLE, _PROTOCOL, _FRAME = b"\x80", b"\x02", 0x95  # the last begins the data of newer protocols
_OLD_PICKLES = 4  # a number, a version, what the machine was, and the checkpoint


class UnreadableError(Exception):
    """No pickle that can be read so; the message is one line and names what is in the way."""


class Ignored(list[Any]):
    """Stands for an object of a type that is not taken. A list, because some are appended to."""

    type_name = ""
    """What the file calls its type, such as ``argparse.Namespace``."""
    __hash__ = object.__hash__  # type: ignore[assignment]  # it may be the key of a dict

    def __new__(cls, *args: object, **kwargs: object) -> Ignored:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        """Keep a state without using it."""
        self.state = state

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the object, if it has been saved by its attributes."""
        state = self.state if isinstance(self.state, dict) else {}
        return {str(name): value for name, value in state.items()}


def load(path: Path) -> object:
    """Read a pickle: tensors, plain containers, and ``Ignored`` for the rest.

    Raises:
        UnreadableError: it is none, it is damaged, or torch blocks what it names.
    """
    try:
        with torch.serialization.safe_globals(_stand_ins(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise almost anything on bytes they do not know
        raise UnreadableError(_known(path, str(error)) or _reason(error)) from error


def module_state(module: Ignored) -> dict[str, Any]:
    """Collect the state dict of a whole model that was pickled, as its own method would.

    Empty if the object was no module.
    """
    found: dict[str, Any] = {}
    attributes = module.attributes
    for kind in ("_parameters", "_buffers"):
        found |= {
            name: value.detach()
            for name, value in _entries(attributes.get(kind))
            if isinstance(value, torch.Tensor)
            and name not in (attributes.get("_non_persistent_buffers_set") or ())
        }
    for name, child in _entries(attributes.get("_modules")):
        if isinstance(child, Ignored):
            found |= {f"{name}.{key}": value for key, value in module_state(child).items()}
    return found


def type_name(value: object) -> str:
    """Return what a file calls the type of an object of it."""
    return value.type_name if isinstance(value, Ignored) else type(value).__name__


def _entries(table: object) -> list[tuple[Any, Any]]:
    return list(table.items()) if isinstance(table, dict) else []


def _stand_ins(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # an older form, or none: torch.load says what is wrong
        names = _old_names(path)
    return [(_stand_in(name), name) for name in names]


def _old_names(path: Path) -> list[str]:
    """What a checkpoint of the form before torch 1.6 names: some pickles, then the numbers."""
    names: dict[str, None] = {}
    try:
        with path.open("rb") as file:
            for _ in range(_OLD_PICKLES):
                for opcode, argument, _ in pickletools.genops(file):
                    if opcode.name == "GLOBAL":
                        names[str(argument).replace(" ", ".")] = None
    except (ValueError, OSError):
        return []
    return list(names)


def _stand_in(name: str) -> Callable[..., Any]:
    # The unpickler sets items of dicts and ordered dicts only, whatever is allowed beside.
    base = _Items if name.lower().endswith("dict") else Ignored
    return type("Ignored", (base,), {"type_name": name})


class _Items:
    """Stands for a type that is filled like a dict."""

    def __new__(cls, *_: object, **__: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def _known(path: Path, message: str) -> str:
    """Say what people often have instead of a checkpoint; empty for anything else."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: get the file itself with git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "it is a web page: the download went wrong"
    if "TorchScript" in message:
        return "it is a TorchScript archive: save model.state_dict() instead"
    if "central directory" in message:
        return "it is cut off: copy or download it again"
    if (head[:1] == _PICKLE and head[1:2] > _PROTOCOL) or f"operand {_FRAME}" in message:
        return "it is pickled by a newer protocol: save it with torch.save and its default one"
    return ""


def _reason(error: Exception) -> str:
    """The line of torch's message that says what is wrong, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Check the documentation")]
    return f"{type(error).__name__}: {told[-1][:150]}" if told else type(error).__name__
