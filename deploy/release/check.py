"""Try the wheels of a release: five environments, each from wheels alone, that talk to each other.

    python deploy/release/check.py dist

Installs ``diptych``, ``diptych-gateway``, ``diptych-eval`` and both model services from the wheels
in ``dist``, each into an empty environment, and asks every command for its version and every
server for ``--check``. Then it starts the servers with the weights in their wheels, compares the
client's sample picture, loads the page, and has the evaluation read a data set. The exit status is
1, with the reason, at the first thing that fails.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from environments import Environment, InstallError
from files import distribution, images, version

START_S = 180.0
STOP_S = 30.0
_MODELS = [name for name in images() if name != "gateway"]
_SAMPLES = "import diptych, pathlib; print(pathlib.Path(diptych.__file__).parent / 'samples')"
_NAMED = re.compile(r'(?:src|href)="(?:\./)?((?!https?:|#)[\w/.-]+\.(?:js|css|svg))"')


def say(line: str) -> None:
    """Tell a person how far it is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def install(folder: Path, wheels: Path) -> dict[str, Environment]:
    """Make the environments, by the command that each brings."""
    wanted = {"diptych": "diptych", "gateway": "diptych-gateway", "eval": "diptych[eval]"}
    wanted |= {name: distribution(images()[name]) for name in _MODELS}
    made = {}
    for name, requirement in wanted.items():
        requirement += f"=={version()}"
        made[name] = Environment(folder / name, requirement, wheels, torch=name in _MODELS)
        told = made[name].run(_command(name), "--version").strip()
        if version() not in told.split():
            raise InstallError(f"{name}: expected version {version()}, it says {told!r}")
        say(f"installed  {requirement}: {told}")
    return made


def _command(name: str) -> str:
    return "diptych" if name in ("diptych", "eval") else f"diptych-{name}"


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def serving(made: dict[str, Environment], logs: Path) -> Iterator[tuple[str, str]]:
    """Run the gateway and the models; yields the addresses of its gRPC and HTTP servers."""
    grpc_port, http_port, *ports = free_ports(2 + len(_MODELS))
    addresses = dict(zip(_MODELS, ports, strict=True))
    servers = {name: {"DIPTYCH_PORT": str(port)} for name, port in addresses.items()}
    servers["gateway"] = {
        "DIPTYCH_PORT": str(grpc_port),
        "DIPTYCH_HTTP_PORT": str(http_port),
        "DIPTYCH_MODELS": ",".join(f"{name}=127.0.0.1:{port}" for name, port in addresses.items()),
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, settings in servers.items():
            made[name].run(_command(name), "--check", settings=settings)
            say(f"checked    {_command(name)} --check")
            started.append(made[name].start(_command(name), settings, logs / f"{name}.log"))
        yield f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(STOP_S)


def wait(client: Environment, settings: dict[str, str], logs: Path) -> None:
    """Return once all models serve.

    Raises:
        InstallError: they do not within three minutes; what they say of it is in the message.
    """
    until = time.monotonic() + START_S
    while True:
        try:
            client.run("diptych", "health", settings=settings)
            return
        except InstallError as error:
            if time.monotonic() > until:
                ends = [f"{log.name}: {log.read_text()[-2000:]}" for log in logs.iterdir()]
                raise InstallError("\n".join([str(error), *ends])) from error
            time.sleep(1)


def sample(client: Environment) -> Path:
    """The picture that comes with the client."""
    return Path(client.run("python", "-c", _SAMPLES).strip(), "scene.png")


def compare(client: Environment, settings: dict[str, str]) -> None:
    """Compare the sample picture with every model; each has to find something."""
    picture = str(sample(client))
    document = json.loads(client.run("diptych", "compare", picture, "--json", settings=settings))
    found = {
        each["model_id"]: len(each["result"]["segments"]) if each["result"] else each["error"]
        for each in document["results"]
    }
    if set(found) != set(_MODELS) or not all(isinstance(n, int) and n > 0 for n in found.values()):
        raise InstallError(f"compare: expected objects of {_MODELS}, got {found}")
    say(f"compared   {', '.join(f'{name}: {count} objects' for name, count in found.items())}")


def load_page(address: str) -> None:
    """Load the page and everything that its first document names."""
    document = _get(f"{address}/").decode()
    named = sorted(set(_NAMED.findall(document)))
    if "Diptych" not in document or not named:
        raise InstallError(f"page: expected a document with scripts, got {document[:200]!r}")
    total = sum(len(_get(f"{address}/{name}")) for name in named)
    say(f"page       {len(named)} files, {total / 1e3:.0f} kB")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # our own server
        body: bytes = answer.read()
        return body


def evaluate(evaluation: Environment, client: Environment, folder: Path) -> None:
    """Have the evaluation look through a data set of one picture."""
    picture = sample(client)
    (folder / picture.name).write_bytes(picture.read_bytes())
    box = [10, 10, 40, 30]
    corners = [10, 10, 50, 10, 50, 40, 10, 40]
    labels = {
        "images": [{"id": 1, "file_name": picture.name, "width": 256, "height": 256}],
        "categories": [{"id": 1, "name": "rectangle"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": box,
                "area": 1200,
                "iscrowd": 0,
                "segmentation": [corners],
            }
        ],
    }
    (folder / "instances.json").write_text(json.dumps(labels))
    told = evaluation.run("diptych", "eval", "check", str(folder / "instances.json"))
    say(f"evaluation {told.strip().splitlines()[-1]}")


def main(wheels: Path) -> int:
    """Check everything; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="diptych-release-") as name:
        folder = Path(name)
        logs, data = folder / "logs", folder / "data"
        logs.mkdir()
        data.mkdir()
        try:
            made = install(folder, wheels)
            with serving(made, logs) as (address, page):
                settings = {"DIPTYCH_ADDRESS": address}
                wait(made["diptych"], settings, logs)
                compare(made["diptych"], settings)
                load_page(page)
            evaluate(made["eval"], made["diptych"], data)
        except InstallError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    say("the wheels work")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
