"""What the page and the README say to type is what CVAT's command line and the functions take."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
from cvat_cli._internal.commands_all import COMMANDS
from cvat_cli._internal.common import configure_common_arguments

from diptych_cvat import detector, parameters, tracker

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "docs/label-tools/cvat.md", ROOT / "integrations/cvat/README.md"]
LINES = [
    line.strip()
    for page in PAGES
    for line in page.read_text().replace("\\\n", " ").splitlines()
    if line.startswith("cvat-cli ")
]


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one(line: str) -> None:
    parser = argparse.ArgumentParser()
    configure_common_arguments(parser)
    COMMANDS.configure_parser(parser)
    said = parser.parse_args(shlex.split(line)[1:])
    function = importlib.import_module(said.function_module)
    function.create(**said.function_parameters)


def test_the_table_has_every_parameter_with_its_type() -> None:
    kinds = {str: "str", float: "float", int: "int", bool: "bool"}
    known = {**parameters.SERVER, **detector._OWN, **tracker._OWN}
    rows = re.findall(r"^\| `(\w+)=(\w+):`", PAGES[0].read_text(), re.M)
    assert sorted(rows) == sorted((name, kinds[kind]) for name, kind in known.items())
