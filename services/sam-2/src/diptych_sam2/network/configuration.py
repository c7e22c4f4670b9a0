"""Reads a configuration of the sam2 package's form as data, and builds what it describes.

A configuration names classes and their arguments. Hydra, which the package itself reads them with,
calls whatever function such a name leads to. Here a name has to be that of a network's part; a file
that comes with somebody's weights runs no code of its author's choice.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from diptych_runtime.engine import LoadError

MAX_BYTES = 1 << 16
"""Size of a configuration file; published ones have 4 KB."""

_TARGET = "_target_"
# What configurations of sam2 1.1.0 for inference name lies in the first; the second has the parts
# of which somebody else would put one together.
_PACKAGES = ("sam2.modeling.", "torch.nn.modules.")
_SHORT = "torch.nn."
# Hiera reads a checkpoint from there, pickled, also over the network.
_READS_FILES = frozenset({"weights_path"})
_INTERPOLATION = "${"


class ModelError(LoadError):
    """A configuration from which no model can be built; the message is one line."""


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a file as plain values: dicts, lists, texts, numbers, ``None``.

    Raises:
        ModelError: unreadable, over ``MAX_BYTES``, or with something else than values in it, such
            as aliases, tags or interpolations.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _refused(path, f"it has more than {MAX_BYTES} bytes")
        text = content.decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise _refused(path, "aliases (*name) are not taken")
        tree = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise _refused(path, str(error).partition("\n")[0]) from error
    if not isinstance(tree, dict):
        raise _refused(path, f"expected names and values, found {type(tree).__name__}")
    return cast(dict[str, Any], tree)


def build(path: Path, tree: Any) -> Any:
    """Check a whole tree of ``read_configuration``, then make what it describes.

    A dict with ``_target_`` becomes an object of that class, its other entries the arguments.

    Raises:
        ModelError: a target that is no part of a network, an argument that would read a file, or
            arguments that a class does not take; names the place in the file.
    """
    targets = {}
    for place, node in _nodes(tree):
        problem = _problem(node)
        if problem is None and isinstance(node, dict) and _TARGET in node:
            target = node[_TARGET]
            if part := _part(target):
                targets[target] = part
            else:
                problem = f"{target!r} is no class of sam2.modeling or torch.nn"
        if problem is not None:
            raise _refused(path, f"{place or 'model'}: {problem}")
    try:
        return _made(tree, targets)
    except Exception as error:  # whatever a constructor says to arguments that it cannot take
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise _refused(path, reason) from error


def _made(node: Any, targets: dict[str, type[nn.Module]]) -> Any:
    if isinstance(node, list):
        return [_made(value, targets) for value in node]
    if not isinstance(node, dict):
        return node
    made = {key: _made(value, targets) for key, value in node.items() if key != _TARGET}
    return targets[node[_TARGET]](**made) if _TARGET in node else made


def _nodes(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All nodes and where they stand, those that hold others first."""
    yield place, tree
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _nodes(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _nodes(value, f"{place}[{index}]")


def _problem(node: Any) -> str | None:
    """Say what is wrong with a node by itself, its target left out."""
    if isinstance(node, str) and _INTERPOLATION in node:
        return f"interpolations ({_INTERPOLATION}...) are not taken"
    if isinstance(node, dict):
        for key in node:
            if not isinstance(key, str) or not key.isidentifier():
                return f"{key!r} is not the name of an argument"
            if key.startswith("_") and key != _TARGET:
                return f"{key!r} is not taken, only {_TARGET!r}"
            if key in _READS_FILES:
                return f"{key!r} is not taken: weights come from DIPTYCH_SAM_2_WEIGHTS"
    elif not isinstance(node, str | bool | int | float | list | None):
        return f"expected a value, found {type(node).__name__}"
    return None


def _part(target: object) -> type[nn.Module] | None:
    """Find the class of a full name, if it is a network's part and defined where the name says."""
    if not isinstance(target, str):
        return None
    module_name, _, name = target.rpartition(".")
    if target == f"{_SHORT}{name}":
        module_name = _SHORT.removesuffix(".")
    elif not target.startswith(_PACKAGES):
        return None
    try:
        # By its whole name: a name that some module has imported for itself leads nowhere.
        found = vars(importlib.import_module(module_name)).get(name)
    except (ImportError, ValueError):
        return None
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        return None
    return found if found.__module__.startswith(_PACKAGES) else None


def _refused(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path} is not a configuration of SAM 2: {reason}")
