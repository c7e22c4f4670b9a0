"""What users had before the house was rebuilt is still there: names, contract, settings.

``assets/before`` was written from the last state before it. Additions are welcome. Its
``client.zip`` is a later client, the last before the gateway knew replicas, which programs may
still have: ``git archive`` of ``client/src`` without samples and stubs for type checkers.
``integration/test_end_to_end.py`` runs it against today's gateway and services.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[2]
BEFORE = ROOT / "tests" / "assets" / "before"


@pytest.mark.parametrize("name", (BEFORE / "names.txt").read_text().split())
def test_a_public_name_is_still_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    public = importlib.import_module(module)
    assert attribute in public.__all__
    assert hasattr(public, attribute)


def named(messages: Iterable[Any]) -> dict[str, Any]:
    return {message.name: message for message in messages}


def lost(before: Any, now: Any, path: str) -> list[str]:
    """What of a descriptor is gone or different; what was added does not count."""
    found: list[str] = []
    for field, old in before.ListFields():
        if field.name in ("source_code_info", "options"):
            continue
        new = getattr(now, field.name)
        where = f"{path}.{field.name}"
        if not field.is_repeated:
            if field.type == field.TYPE_MESSAGE:
                found += lost(old, new, where)
            elif old != new:
                found.append(f"{where}: {old!r} became {new!r}")
        elif field.type == field.TYPE_MESSAGE and "name" in field.message_type.fields_by_name:
            there = named(new)
            for name, entry in named(old).items():
                if name in there:
                    found += lost(entry, there[name], f"{path}.{name}")
                else:
                    found.append(f"{path}.{name} is gone")
        elif [item for item in old if item not in list(new)]:
            found.append(f"{where} lost something")
    return found


def contract(path: Path) -> FileDescriptorSet:
    return FileDescriptorSet.FromString(path.read_bytes())


def test_the_contract_only_grew() -> None:
    before, now = contract(BEFORE / "contract.binpb"), contract(ROOT / "proto/descriptor_set.binpb")
    assert lost(before, now, "") == []


def test_a_lost_field_would_be_found() -> None:
    before, now = contract(BEFORE / "contract.binpb"), contract(BEFORE / "contract.binpb")
    video = named(now.file)["diptych/segment/v1/video.proto"]
    field = video.message_type[0].field[0]
    field.number += 1000
    del video.message_type[1]
    found = lost(before, now, "")
    assert len(found) == 2
    assert any("number" in line for line in found)
    assert any("is gone" in line for line in found)


@pytest.mark.parametrize("line", (BEFORE / "settings.txt").read_text().splitlines())
def test_a_setting_still_works_under_its_name(line: str) -> None:
    package, name = line.split()
    module = importlib.import_module(f"{package}.settings")
    kinds = [value for value in vars(module).values() if isinstance(value, type)]
    known = {
        f"DIPTYCH_{field.upper()}"
        for kind in kinds
        if issubclass(kind, BaseSettings)
        for field in kind.model_fields
    }
    renamed: dict[str, str] = getattr(module, "RENAMED", {})
    assert name in known or renamed.get(name) in known
