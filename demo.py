"""The demo: start everything, show what both models say about a picture, stop everything.

[WEIGHTS=official] [PICTURE=photo.jpg] python demo.py

Starts the processes of the Procfile with the demo weights, waits until all of them serve, compares
the sample picture and writes the side-by-side picture to ``demo-out/``. With WEIGHTS=official the
published weights are downloaded first, once, and the sample is a photograph. PICTURE is compared as
well. The exit status is that of ``diptych compare``, or 1 with one line that says why there was no
comparison.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from diptych import Client, DiptychError, ServingStatus
from official_weights import OfficialWeightsError, choice, models, say, settings_of

ROOT = Path(__file__).resolve().parent
GATEWAY_PORT = 50051
SAMPLES = ROOT / "client" / "src" / "diptych" / "samples"
SAMPLE = {"demo": SAMPLES / "scene.png", "official": SAMPLES / "coffee.jpg"}
"""What is compared, by weights: each kind has its own pictures that it knows something of."""
OUT = ROOT / "demo-out"
SIDE_BY_SIDE = "side-by-side.png"
PATIENCE_S = 600.0
START_S = 180.0
STOP_S = 30.0
INTERRUPTED = 130


class DemoError(Exception):
    """There is no comparison; the message says why and what to do."""


def ports() -> dict[str, int]:
    """The port of every process of the Procfile."""
    return {**{name: entry["port"] for name, entry in models().items()}, "gateway": GATEWAY_PORT}


def own_picture(environment: Mapping[str, str]) -> Path | None:
    """The image that the variable PICTURE names, if it is set.

    Raises:
        DemoError: there is no such file, or it is one that the demo writes.
    """
    named = environment.get("PICTURE")
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        there = "is a folder" if path.is_dir() else "is not there"
        raise DemoError(f"PICTURE={named} {there}: expected the path of an image file")
    if path.resolve() == (OUT / SIDE_BY_SIDE).resolve():
        raise DemoError(f"PICTURE={named} is what the demo writes: copy it to another place")
    return path


def environment(weights: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings that would change the demo, its programs found first.

    Args:
        weights: Settings that choose the weights.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIPTYCH_")}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kept["DIPTYCH_HTTP_PORT"] = ""  # the demo asks over gRPC, and that port may be taken
    kept["DIPTYCH_ADDRESS"] = f"localhost:{GATEWAY_PORT}"
    for name in ("DIPTYCH_DEVICE", "DIPTYCH_THREADS", "DIPTYCH_WEIGHTS_DIR"):
        if name in os.environ:
            kept[name] = os.environ[name]
    return {**kept, **weights}


def check_ports() -> None:
    """Refuse to start beside something that would answer instead of us.

    Raises:
        DemoError: a port is in use.
    """
    for name, port in ports().items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise DemoError(
                    f"port {port} for {name} is in use: stop what listens there, such as a "
                    f"running `make up`, and try again"
                ) from error


@contextmanager
def running(log: Path, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The processes of the Procfile, under one runner; all are stopped at the end.

    Args:
        log: File for what they say.
        settings: Their environment.
    """
    command = [sys.executable, "-m", "honcho", "-e", os.devnull, "start"]
    with log.open("wb") as out:
        # A session of its own: Ctrl-C reaches this program alone, which then stops the rest.
        runner = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield runner
    finally:
        runner.terminate()
        try:
            runner.wait(STOP_S)
        except subprocess.TimeoutExpired:
            runner.kill()
            say(f"the services did not stop within {STOP_S:g} s; their log is {log}")


def wait_serving(runner: subprocess.Popen[bytes], log: Path) -> None:
    """Return once every process says SERVING.

    Raises:
        DemoError: a process ended, or one took too long.
    """
    until = time.monotonic() + START_S
    for name, port in ports().items():
        with Client(f"localhost:{port}", timeout=2) as client:
            while not (is_serving(client) and (port != GATEWAY_PORT or has_seen_all(client))):
                if runner.poll() is not None:
                    raise DemoError(f"a service ended while it started; {log} says:\n{tail(log)}")
                if time.monotonic() > until:
                    raise DemoError(f"{name} did not serve within {START_S:g} s; see {log}")
                time.sleep(0.2)


def is_serving(client: Client) -> bool:
    """Whether health says so; a server that is not there yet does not."""
    try:
        return client.health() is ServingStatus.SERVING
    except DiptychError:
        return False


def has_seen_all(gateway: Client) -> bool:
    """Whether a gateway knows the card of every model; a cascade needs those of both of its."""
    return all(known.card for known in gateway.model_cards())


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def compare(picture: Path, out: Path, settings: Mapping[str, str]) -> int:
    """Run the comparison as a user would; returns its exit status."""
    shown, written = (os.path.relpath(path) for path in (picture, out))
    arguments = ["compare", shown, "--task", "instance-segmentation", "--out", written]
    arguments.append("--overwrite")  # the picture of the last demo
    say(f"\n$ diptych {shlex.join(arguments)}")
    # A busy or slow machine may need longer than a caller usually wants to wait.
    patience = ["--timeout", f"{PATIENCE_S:g}"]
    command = [str(Path(sys.executable).parent / "diptych"), *arguments, *patience]
    status = subprocess.run(command, env=settings, check=False).returncode
    if status == 0:
        say(f"\nThe picture: {written}")
    return status


def show(asked: str, own: Path | None) -> int:
    """Start everything, compare the pictures, stop everything; returns the exit status.

    Args:
        asked: Which weights, ``demo`` or ``official``.
        own: A picture to compare beside the sample.

    Raises:
        DemoError: the services cannot be started.
        OfficialWeightsError: the weights cannot be had.
    """
    started = time.monotonic()
    OUT.mkdir(exist_ok=True)
    log = OUT / "services.log"
    check_ports()
    settings = environment(settings_of(asked, say))
    titles = ", ".join(entry["title"] for entry in models().values())
    say(f"Starting {titles} and the gateway with the {asked} weights ...")
    with running(log, settings) as runner:
        wait_serving(runner, log)
        say(f"All are serving after {time.monotonic() - started:.0f} s.")
        status = compare(SAMPLE[asked], OUT / SIDE_BY_SIDE, settings)
        if own is not None:
            if asked == "demo":
                say("\nThe demo weights know nothing of photographs: try WEIGHTS=official.")
            mine = compare(own, OUT / f"{own.name}.{SIDE_BY_SIDE}", settings)
            status = status or mine
    say(f"Everything is stopped again. The demo took {time.monotonic() - started:.0f} s.")
    return status


def main() -> int:
    """Run the demo; returns the exit status."""
    try:
        return show(choice(os.environ), own_picture(os.environ))
    except (DemoError, OfficialWeightsError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted, everything is stopped\n")
        return INTERRUPTED


def stop_on_signal(number: int, frame: FrameType | None) -> None:
    """Leave as Ctrl-C does, so that nothing stays behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    raise SystemExit(main())
