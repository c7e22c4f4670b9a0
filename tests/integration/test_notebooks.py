"""The notebooks run from top to bottom with the demo weights, and their pages show what comes."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documentation import DOCS
from PIL import Image
from stack import Stack, running_stack

sys.path.insert(0, str(DOCS / "tools"))

import notebooks

NAMES = [path.stem for path in notebooks.notebooks()]
KINDS = ("SegmentResult(", "Comparison(", "VideoFrameResult(", "Mask(")
NUMBER = re.compile(r"\d+(\.\d+)?")


@pytest.fixture(scope="module")
def stack(model_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The services and a gateway with the cascade, as `make up` starts it."""
    folder = tmp_path_factory.mktemp("notebooks")
    with running_stack(model_services, folder, "mask-rcnn>sam-2") as running:
        yield running


@pytest.fixture(scope="module")
def run(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Each notebook with its outputs, run in a kernel of its own; what it writes goes away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIPTYCH_ADDRESS", stack.address("gateway"))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("written")))
        yield {path.stem: notebooks.run(path) for path in notebooks.notebooks()}


def pictures(notebook: Any) -> dict[str, bytes]:
    """Pictures in its outputs by the text that stands for them."""
    shown = [output for cell in notebook["cells"] for output in notebooks.outputs(cell)]
    return {text: picture for text, picture in shown if picture is not None}


def test_there_is_one_for_each_kind_of_user() -> None:
    assert NAMES == ["choose", "point-and-follow", "run-it"]


def test_one_holds_pictures_of_all_four_kinds(run: dict[str, Any]) -> None:
    shown = pictures(run["point-and-follow"])
    for kind in KINDS:
        (picture, *_) = (shown[text] for text in shown if text.startswith(kind))
        image = Image.open(io.BytesIO(picture))
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 1


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_and_says_nothing_on_stderr(name: str, run: dict[str, Any]) -> None:
    cells = [cell for cell in run[name]["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    found = [output for cell in cells for output in cell["outputs"]]
    assert not [each for each in found if each["output_type"] == "error"]
    assert not [each["text"] for each in found if each.get("name") == "stderr"]
    assert pictures(run[name])


def compared(text: str, varying: list[str]) -> str:
    """A page but for its figures, and for what else differs from one time to the next."""
    for code in varying:
        begin = text.index(code) + len(code)
        text = text[:begin] + re.sub(r"```text\n.*?\n```", "", text[begin:], count=1, flags=re.S)
    return NUMBER.sub("0", text)


@pytest.mark.parametrize("name", NAMES)
def test_its_page_shows_what_comes(name: str, run: dict[str, Any]) -> None:
    made, files = notebooks.page(name, run[name])
    kept = (notebooks.FOLDER / f"{name}.md").read_text()
    varying = [
        cell["source"]
        for cell in run[name]["cells"]
        if notebooks.VARIES in cell["metadata"].get("tags", ())
    ]
    assert compared(made, varying) == compared(kept, varying), "run docs/tools/notebooks.py"
    there = {path.name: path for path in notebooks.FOLDER.glob(f"{name}-*.webp")}
    assert there.keys() == files.keys()
    for file, data in files.items():
        assert Image.open(there[file]).size == Image.open(io.BytesIO(data)).size
        assert there[file].stat().st_size <= 120_000


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_kept_without_outputs(name: str) -> None:
    path: Path = notebooks.FOLDER / f"{name}.ipynb"
    document = json.loads(path.read_text())
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert any("demo weights" in "".join(cell["source"]) for cell in document["cells"])
