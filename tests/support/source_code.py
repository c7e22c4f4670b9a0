"""What a module imports, which messages it builds, and whether modules import in a circle."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message


def imported(text: str) -> Iterator[tuple[int, str, str]]:
    """Each name that a module imports: dots before the module, the module, and the name.

    The name of ``import a.b`` is empty.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def private_names_of_client(text: str) -> set[str]:
    """Modules and names of the client that are none of other packages' business."""
    found = set()
    for level, module, name in imported(text):
        path = [*module.split("."), *name.split(".")] if level == 0 else []
        if path and path[0] == "diptych" and any(re.match("_[^_]", part) for part in path):
            found.add(".".join(filter(None, path)))
    for node in ast.walk(ast.parse(text)):
        private = isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr)
        if private and isinstance(node.value, ast.Name) and node.value.id == "diptych":
            found.add(f"diptych.{node.attr}")
    return found


def built_messages(text: str) -> list[str]:
    """Calls such as ``pb.Segment(...)`` that make a message."""
    kinds: dict[str, Any] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{'diptych.' if node.level else ''}{node.module}"
                kinds[alias.asname or alias.name] = _contract_object(module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                kinds[alias.asname or alias.name] = _contract_object(alias.name, "")
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [ast.unparse(call) for call in calls if _is_message(_resolved(call, kinds))]


def _contract_object(module: str, name: str) -> Any:
    """What an import of generated code gives; ``None`` for imports of anything else."""
    generated = re.compile(r"(diptych\.segment\.v1|google\..*_pb2|grpc_health\..*_pb2)(\.|$)")
    full = f"{module}.{name}" if name else module
    if not generated.match(full):
        return None
    try:
        return importlib.import_module(full)
    except ImportError:
        return getattr(importlib.import_module(module), name, None)


def _resolved(call: ast.expr, kinds: dict[str, Any]) -> Any:
    path = ast.unparse(call).split(".") if isinstance(call, (ast.Name, ast.Attribute)) else []
    for length in range(len(path), 0, -1):
        if (found := kinds.get(".".join(path[:length]))) is not None:
            for part in path[length:]:
                found = getattr(found, part, None)
            return found
    return None


def _is_message(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Message)


def module_imports(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of the same package that a module imports, for types alone included.

    What is imported inside of functions is left out: that is deferred on purpose.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _outside_functions(ast.parse(path.read_text())):
        for level, module, imported_name in imported(ast.unparse(node)):
            parents = package.split(".")
            base = parents[: len(parents) - level + 1] if level else []
            full = ".".join([*base, *filter(None, [module])])
            found |= {f"{full}.{imported_name}", full} & modules.keys()
            if f"{full}.{imported_name}" in modules:
                found.discard(full)  # the name is a module of the folder, not of its __init__
    return found - {name}


def _outside_functions(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _outside_functions(node)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Some nodes that lead to each other in a ring; empty if there are none."""
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        path.append(node)
        for other in sorted(graph[node]):
            if state.get(other) == 1:
                return path[path.index(other) :]
            if other not in state and (ring := visit(other)):
                return ring
        state[node] = 2
        path.pop()
        return []

    return next((ring for node in sorted(graph) if node not in state and (ring := visit(node))), [])
