"""What is generated from the contract is current, and the client asks for what it needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tomllib
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / "client" / "src" / "diptych" / "segment" / "v1"
GENERATOR = ROOT / ".tools" / "proto" / "bin" / "python"


def floor(name: str) -> Version:
    """The oldest version that the client accepts."""
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    found = [r for r in map(Requirement, project["dependencies"]) if r.name == name]
    (at_least,) = [s for r in found for s in r.specifier if s.operator == ">="]
    return Version(at_least.version)


def stamped(pattern: str, files: str) -> set[Version]:
    """Versions that the generator wrote into its files."""
    texts = [path.read_text() for path in STUBS.glob(files)]
    found = [re.search(pattern, text) for text in texts]
    assert found
    assert all(found)
    return {Version(".".join(m.groups()).replace(" ", "")) for m in found if m}


def test_generated_files_are_current() -> None:
    if not GENERATOR.exists():
        pytest.skip("`make lint` and `make test` install the generator")
    command = [str(GENERATOR), "proto/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make proto`\n{done.stderr}"


def test_the_client_asks_for_the_generators_grpcio() -> None:
    (made_by,) = stamped(r"GRPC_GENERATED_VERSION = '([\d.]+)'", "*_pb2_grpc.py")
    assert floor("grpcio") >= made_by
    lines = (ROOT / "proto" / "requirements.txt").read_text().splitlines()
    assert f"grpcio-tools=={made_by}" in lines


def test_the_client_asks_for_the_generators_protobuf() -> None:
    pattern = r"Domain\.PUBLIC,\s*(\d+),\s*(\d+),\s*(\d+),"
    (made_by,) = stamped(pattern, "*_pb2.py")
    assert floor("protobuf") >= made_by


def test_the_descriptor_set_stands_alone() -> None:
    content = (ROOT / "proto" / "descriptor_set.binpb").read_bytes()
    files = {file.name: file for file in FileDescriptorSet.FromString(content).file}
    ours = {str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto")}
    assert ours <= set(files)
    assert {name for file in files.values() for name in file.dependency} <= set(files)
    services = {service.name for name in ours for service in files[name].service}
    assert services == {"SegmentService", "GatewayService"}
