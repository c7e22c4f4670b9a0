"""Servers of others that answer a picture, each in an environment of its own, made when needed.

They are no dependencies of the product, so their versions stand here and not in constraints.txt.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import bare
import load
import payload
import served

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(__file__).parent / "peers"
_ENVIRONMENTS = ROOT / ".tools" / "peers"
_START_S = 120.0
_INSTALL_S = 900.0
_BOUNDARY = "picture-follows"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"


@dataclass(frozen=True)
class Peer:
    """How one is installed, started and asked."""

    name: str
    protocol: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    """After ``python``, in the folder of the scripts; ``PORT`` stands for the port."""
    open: Callable[[str], AbstractContextManager[load.Call]]
    request: Callable[[Peer, bytes], bytes]
    """The message with a picture."""
    allowed: str
    """In which shape it ran."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        folder = self.name.lower().replace(" ", "-")
        return _ENVIRONMENTS / folder / "bin" / "python"


class AbsentError(Exception):
    """A peer cannot be installed or started; the message is one line."""


def _triton_request(peer: Peer, picture: bytes) -> bytes:
    command = [peer.python, SCRIPTS / "pytriton_server.py", "request"]
    return subprocess.run(command, input=picture, capture_output=True, check=True).stdout


def _our_request(peer: Peer, picture: bytes) -> bytes:
    return payload.request_with(picture)


def _form(peer: Peer, picture: bytes) -> bytes:
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="picture"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()


PEERS = (
    Peer(
        "PyTriton",
        "gRPC",
        ("nvidia-pytriton==0.7.0", "numpy<2"),
        ("pytriton_server.py", "PORT"),
        lambda address: load.grpc_client(address, "/inference.GRPCInferenceService/ModelInfer"),
        _triton_request,
        "one Triton server with its front end in C++, its Python backend and the process with the "
        "function; no batching, because files differ in length; raw bytes in and out",
        # Triton's Python backend is linked to libpython.
        {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
    ),
    Peer(
        "Ray Serve",
        "gRPC",
        ("ray[serve]==2.60.0", "./client"),
        ("ray_server.py", "PORT"),
        lambda address: load.grpc_client(address, bare.METHOD),
        _our_request,
        "our own contract by grpc_servicer_functions, one proxy and one replica (beside Ray's own "
        "processes), 64 requests at once, RAY_SERVE_THROUGHPUT_OPTIMIZED",
        {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Peer(
        "LitServe",
        "HTTP",
        ("litserve==0.2.19", "python-multipart==0.0.34"),
        ("litserve_server.py", "PORT"),
        lambda address: load.http_client(address, "/predict", _FORM),
        _form,
        "one API server and one worker; the file in a multipart form, JSON out",
    ),
    Peer(
        "mosec",
        "HTTP",
        ("mosec==0.9.8",),
        ("mosec_server.py", "--address", "127.0.0.1", "--port", "PORT"),
        lambda address: load.http_client(address, "/inference", "image/jpeg"),
        lambda peer, picture: picture,
        "its front in Rust and one worker; the file as the body, bytes out",
    ),
    Peer(
        "BentoML",
        "HTTP",
        ("bentoml==1.4.40",),
        ("-m", "bentoml", "serve", "bentoml_server:NoOp", "--host", "127.0.0.1", "--port", "PORT"),
        lambda address: load.http_client(address, "/segment", _FORM),
        _form,
        "one service with one worker; the file in a multipart form, JSON out",
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
)


def install(peer: Peer) -> None:
    """Make its environment unless it stands.

    Raises:
        AbsentError: it cannot be made.
    """
    home = peer.python.parent.parent
    stamp = home / "installed"
    wanted = "\n".join(peer.requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {peer.name}", flush=True)
    pip = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "install")
    try:
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        command = [peer.python, *pip, *peer.requirements]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise AbsentError(f"not installed: {' '.join(peer.requirements)}") from error
    stamp.write_text(wanted)


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[tuple[load.Open, load.Request]]:
    """Install it if need be, start it; yields how to ask it once it answers.

    Raises:
        AbsentError: it does not start.
    """
    install(peer)
    port = served.free_port()
    command = [part.replace("PORT", str(port)) for part in peer.command]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | peer.environment
    log = peer.python.parent.parent / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [peer.python, *command], cwd=SCRIPTS, env=environment, stdout=output, stderr=output
        )
        try:
            request = load.Request.of(peer.request(peer, payload.picture(1_000_000)))
            opens = _opener(peer, f"127.0.0.1:{port}")
            _wait(opens, request, process)
            yield opens, request
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and what it started and left behind: two of Ray's agents outlive it."""
    started = list(_descendants(process.pid))
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _opener(peer: Peer, address: str) -> load.Open:
    return lambda: peer.open(address)


def _wait(opens: load.Open, request: load.Request, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    last: Exception | None = None
    while time.monotonic() < until and process.poll() is None:
        try:
            with opens() as call:
                call(request.fresh())
            return
        except Exception as error:
            last = error
            time.sleep(1)
    raise AbsentError(f"not started: {str(last).splitlines()[0] if last else 'it ended'}")
