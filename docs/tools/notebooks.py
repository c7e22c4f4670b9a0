"""Run the notebooks against a server, and write the pages that show them with what came out.

    python docs/tools/notebooks.py    # with `make up` running; DIPTYCH_ADDRESS names another server

Notebooks are kept without outputs, so that a change of one is a change of what it says. Beside each
lies its page: the same cells, outputs as text and pictures as files, so that it is read without
being run, here and wherever Markdown is shown.
"""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PICTURE = "image/png"
TEXT = "text/plain"
VARIES = "varies"
"""The tag of a cell whose text is another one each time, such as seconds."""
_CELL_S = 120


def notebooks() -> list[Path]:
    """List all notebooks."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(path: Path) -> Any:
    """Execute a notebook in its folder; returns it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(path.parent)}}
    # On sockets in a folder of ours: no port, and nobody else can talk to the kernel.
    with tempfile.TemporaryDirectory() as sockets:
        local = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        client = NotebookClient(notebook, timeout=_CELL_S, resources=where, config=local)
        return client.execute()


def outputs(cell: Mapping[str, Any]) -> Iterator[tuple[str, bytes | None]]:
    """Texts of a cell's outputs, what is shown with its picture; first all that was printed, which
    comes in pieces of any size."""
    found = cell.get("outputs", ())
    if printed := "".join(output.get("text", "") for output in found):
        yield printed, None
    for output in found:
        if output["output_type"] != "stream":
            data = output["data"]
            picture = data.get(PICTURE)
            yield data.get(TEXT, ""), None if picture is None else base64.b64decode(picture)


def page(name: str, notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Make the page of a notebook that was run, and the pictures on it by their files' names."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(cell["source"])
            continue
        parts.append(f"```py\n{cell['source']}\n```")
        for text, picture in outputs(cell):
            if picture is None:
                parts.append(f"```text\n{text.rstrip()}\n```")
                continue
            file = f"{name}-{len(pictures) + 1}.webp"
            pictures[file] = _webp(picture)
            parts.append(f"![{re.sub(r'[][]', '', text)}]({file})")
    head, _, rest = parts[0].partition("\n\n")
    told = f"This page is [a notebook]({name}.ipynb), and shows what came of it."
    return "\n\n".join([head, told, rest, *parts[1:]]) + "\n", pictures


def _webp(png: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "WEBP", quality=88, method=6)
    return out.getvalue()


def main() -> None:
    """Run all and write their pages."""
    for path in notebooks():
        text, pictures = page(path.stem, run(path))
        for old in FOLDER.glob(f"{path.stem}-*.webp"):
            old.unlink()
        for file, data in pictures.items():
            (FOLDER / file).write_bytes(data)
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        print(
            f"{path.stem}: {len(pictures)} pictures, {sum(map(len, pictures.values())) // 1000} kB"
        )


if __name__ == "__main__":
    main()
