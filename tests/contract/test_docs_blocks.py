"""What README and the documentation show works: their Python and shell blocks run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
import tomllib
from click.testing import CliRunner
from documentation import DOCS, ROOT, blocks, shell_lines
from judged import write_dataset
from PIL import Image
from stack import free_port, wait_serving

from diptych import Client, VideoWriter
from diptych.cli import main
from diptych.testing import FakeSegmentService
from diptych_gateway.security.limits import Limits
from diptych_gateway.security.tokens import parse_tokens, watch_tokens
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint
from diptych_gateway.settings import Settings as GatewaySettings
from diptych_x_anylabeling.options import read_options

ENGINE = "# bright.py"
BIN = Path(sys.executable).parent
WITH_BIN = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
COMPOSE = "".join(path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml")))
COMPOSE_SERVICES = re.findall(r"^  ([\w-]+):$", COMPOSE, re.MULTILINE)
SETTINGS = set(re.findall(r"^\| `(\w+)`", (DOCS / "settings.md").read_text(), re.MULTILINE))


def named(line: str) -> str:
    return re.sub(r"\W+", "-", line)[:50]


PROGRAMS = [(block, page) for block, page in blocks("python") if not block.startswith(ENGINE)]
(ENGINE_BLOCK,) = [block for block, _ in blocks("python") if block.startswith(ENGINE)]
DIPTYCH_LINES = [line for line in shell_lines() if line.startswith("diptych ")]
CURL_LINES = [line for line in shell_lines() if line.startswith("curl ")]
OTHER_LINES = [line for line in shell_lines() if line not in (*DIPTYCH_LINES, *CURL_LINES)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the blocks read."""
    folder = tmp_path_factory.mktemp("files")
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(folder / "photo.jpg")
    (folder / "photos").mkdir()
    for name in ("a.png", "b.jpg"):
        picture.resize((64, 48)).save(folder / "photos" / name)
    write_dataset(folder / "labelled", 3, classes=("rectangle",))
    (folder / "frames").mkdir()
    for number in range(3):
        picture.save(folder / "frames" / f"{number}.jpg")
    with VideoWriter(folder / "clip.mp4") as writer:
        for _ in range(42):
            writer.write(pixels[:400, :420])
    return folder


@pytest.fixture
def service(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeSegmentService]:
    """A fake gateway at the address that every block uses, and the files that it reads."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with FakeSegmentService(models=("mask-rcnn", "sam-2", "mask-rcnn-sam-2")) as service:
        for number, name in enumerate(("person", "traffic light"), start=2):
            service.cards["mask-rcnn"].categories.add(id=number, name=name)
        monkeypatch.setenv("DIPTYCH_ADDRESS", service.address)
        yield service


def test_there_is_something_to_run() -> None:
    assert len(PROGRAMS) >= 13
    assert len(DIPTYCH_LINES) >= 14
    assert len(CURL_LINES) == 8


@pytest.mark.parametrize(
    ("program", "page"), PROGRAMS, ids=[f"{page}-{i}" for i, (_, page) in enumerate(PROGRAMS)]
)
def test_python_blocks_run(program: str, page: str, service: FakeSegmentService) -> None:
    program = program.replace('"localhost:50051"', f'"{service.address}"')
    exec(compile(program, page, "exec"), {"__name__": "page"})
    own_service = "FakeSegmentService" in program
    assert bool(service.requests or service.video_requests) is not own_service


def test_the_third_model_serves(tmp_path: Path) -> None:
    (tmp_path / "bright.py").write_text(ENGINE_BLOCK)
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "DIPTYCH_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "bright.py"], cwd=tmp_path, env=environment)
    try:
        wait_serving(f"127.0.0.1:{port}")
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[10:20, 5:35] = 200
        with Client(f"127.0.0.1:{port}") as client:
            assert client.model_card().display_name == "Bright"
            (segment,) = client.segment(pixels).segments
        assert segment.mask is not None
        assert (segment.mask.to_array() == (pixels[..., 0] > 0)).all()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("line", DIPTYCH_LINES, ids=named)
def test_diptych_commands_run(line: str, service: FakeSegmentService, tmp_path: Path) -> None:
    _, *arguments = shlex.split(line)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    for out in (after for word, after in pairwise(arguments) if word == "--out"):
        assert (tmp_path / out).exists()


@pytest.mark.parametrize("line", CURL_LINES, ids=named)
async def test_curl_commands_are_answered(
    line: str, service: FakeSegmentService, tmp_path: Path
) -> None:
    words = shlex.split(line)[1:]
    (address,) = [word for word in words if word.startswith("localhost:")]
    said = list(zip(words, [*words[1:], ""], strict=True))
    options = {"-F": 1, "-N": 0, "-H": 1, "--data-binary": 1, "-o": 1}
    assert len(words) == 1 + sum(1 + options[word] for word in words if word in options)
    parts = [after.split("=", 1) for word, after in said if word == "-F"]
    files = {
        name: ("p", (tmp_path / value[1:]).read_bytes()) if value[0] == "@" else (None, value)
        for name, value in parts
    }
    bodies = [(tmp_path / after[1:]).read_bytes() for word, after in said if word[:3] == "--d"]
    headers = dict(after.split(": ", 1) for word, after in said if word == "-H")
    asks = bool(files or bodies)
    models = tuple(Endpoint(name, service.address) for name in ("mask-rcnn", "sam-2"))
    gateway = Gateway(GatewaySettings(models=models, port=0, http_port=0, drain_s=0))
    await gateway.start()
    try:
        port, path = GatewaySettings.model_fields["http_port"].default, address.partition("/")[2]
        assert address == f"localhost:{port}/{path}"
        url = f"http://127.0.0.1:{gateway.http_port}/{path}"
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            answer = await client.request(
                "POST" if asks else "GET",
                url,
                files=files or None,
                content=bodies[0] if bodies else None,
                headers=headers,
            )
    finally:
        await gateway.stop()
    assert answer.status_code == 200, answer.text
    assert bool(service.requests) is asks
    assert '"error": {' not in answer.text or not asks
    assert (answer.headers["content-type"] == "image/png") is ("-o" in words)


@pytest.mark.parametrize("line", OTHER_LINES, ids=named)
def test_other_commands_exist(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    while "=" in words[0]:
        assert words.pop(0).partition("=")[0] in SETTINGS
    program, *arguments = words
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for argument in arguments[1:]:
            variable, _, value = argument.partition("=")
            assert re.search(rf"^{variable} \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)
            places = [word for word in value.split() if word.startswith("tests/")]
            assert all((ROOT / place).exists() for place in places)
    elif program == "pip":
        assert arguments.pop(0) == "install"
        folder, _, extras = arguments[0].partition("[")
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        wanted = {extra for extra in extras.rstrip("]").split(",") if extra}
        assert wanted <= set(project["optional-dependencies"])
    elif program == "source":
        assert arguments == [".venv/bin/activate"]
    elif program in ("diptych-sam-2", "diptych-mask-rcnn"):
        done = subprocess.run(
            [str(BIN / program), "weights"], capture_output=True, text=True, check=True
        )
        assert arguments == ["weights"] or (
            arguments[0] == "pull" and f"{arguments[1]} " in done.stdout
        )
    elif program == "export":
        assert {word.partition("=")[0] for word in arguments} <= SETTINGS
    elif program == "diptych-gateway":
        (tmp_path / "certs").mkdir()
        subprocess.run(line, shell=True, cwd=tmp_path, env=WITH_BIN, check=True)
        (token_file,) = tmp_path.glob("certs/*.token")
        tokens = watch_tokens(tmp_path / "certs" / "tokens.toml").value
        assert tokens.identify(f"Bearer {token_file.read_text().strip()}").name == "me"
    elif program == "diptych-x-anylabeling":
        read_options(arguments)
    elif program == "diptych-label-studio":  # tests/integrations/label_studio/ starts it
        source = ROOT / "integrations/label-studio/src/diptych_label_studio/__main__.py"
        known = set(re.findall(r'"(--[a-z-]+)"', source.read_text()))
        assert {word for word in arguments if word.startswith("--")} <= known
    elif program == "cvat-cli":  # tests/integrations/cvat/ parses them
        assert "diptych_cvat" in line
    elif program == "docker":  # tests/compose/ runs them
        assert arguments.pop(0) == "compose"
        files = [after for word, after in pairwise(arguments) if word == "-f"]
        assert all((ROOT / file).exists() for file in files)
        if "run" in arguments:
            assert arguments[-3] in COMPOSE_SERVICES
            assert arguments[-2] == "pull"
        else:
            assert {"up", "down"} & set(arguments)
    elif program == "npm":
        assert arguments[:2] == ["ci", "--prefix"]
        assert (ROOT / arguments[2] / "package-lock.json").exists()
    elif program == "buf":  # `make examples` generates; here it has all that it imports
        subprocess.run([BIN / "buf", "build", *arguments[1:]], cwd=ROOT, check=True)
    elif program == "protoc":
        assert arguments[0] == "-Iproto"
        assert list(ROOT.glob(arguments[-1]))
    else:  # tests/integration/test_node_example.py runs it
        assert program == "node"
        assert (ROOT / arguments[0]).exists()


def test_tokens_files_that_are_shown_can_be_used() -> None:
    shown = [block for block, _ in blocks("toml") if "[tokens." in block]
    assert shown
    for block in shown:
        assert parse_tokens(block)[0].limits != Limits()


def test_settings_of_make_certs_are_those_that_are_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "certificates.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = re.findall(r"^DIPTYCH_\w+=(?:.*)$", done.stdout, re.MULTILINE)
    (shown_lines,) = (block.splitlines() for block, _ in blocks("ini"))
    assert shown_lines[:-1] == printed
    for line in printed:
        assert (tmp_path / line.partition("=")[2]).is_file()
    for key in tmp_path.glob("certs/*.key"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert f"export DIPTYCH_CA_FILE={tmp_path}/certs/ca.crt\n" in done.stdout
