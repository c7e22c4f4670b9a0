"""Model services and the gateway as processes of their own, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import diptych

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
_RANDOM = """
import sys, torch, sam2
from pathlib import Path
from safetensors.torch import save_file
from diptych_sam2.network.build import build_model
torch.manual_seed(int(sys.argv[3]))
model = build_model(Path(sam2.__file__).parent / sys.argv[1])
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, sys.argv[2])
"""


@dataclass(frozen=True)
class Running:
    """A service that serves."""

    address: str
    process: subprocess.Popen[bytes]

    @property
    def engine_pid(self) -> int:
        """The process that has the model."""
        (child,) = (
            Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        )
        return int(child)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def running(module: str, **settings: object) -> AbstractContextManager[Running]:
    """A service with ``DIPTYCH_*`` settings; yields once it serves, ends it afterwards."""
    return _running([sys.executable, "-m", module], settings)


def running_script(path: Path, **settings: object) -> AbstractContextManager[Running]:
    """The same for a script of this folder, whose engine process can import its neighbours."""
    found = [str(path.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return _running([sys.executable, str(path)], settings, PYTHONPATH=os.pathsep.join(found))


@contextmanager
def _running(
    command: Sequence[str], settings: Mapping[str, object], **environment: str
) -> Iterator[Running]:
    port = free_port()
    defaults: Mapping[str, object] = {"port": port, "log_level": "warning"}
    for name, value in {**defaults, **settings}.items():
        environment[f"DIPTYCH_{name.upper()}"] = str(value)
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        address = f"127.0.0.1:{port}"
        wait_serving(address, process)
        yield Running(address, process)
    finally:
        process.terminate()
        process.wait(60)


def wait_serving(address: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Wait until health says SERVING."""
    until = time.monotonic() + seconds
    with diptych.Client(address) as client:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise SystemExit(f"the service ended with status {process.returncode}")
            try:
                if client.health() is diptych.ServingStatus.SERVING:
                    return
            except diptych.DiptychError:
                pass
            time.sleep(0.5)
    raise SystemExit(f"{address} did not serve within {seconds:g} s")


def tiny_random(folder: Path, seed: int = 0) -> dict[str, object]:
    """Settings for the architecture of sam2.1-hiera-tiny with random weights, whose file is
    written to ``folder``."""
    weights = folder / f"tiny-random-{seed}.safetensors"
    subprocess.run([sys.executable, "-c", _RANDOM, TINY, str(weights), str(seed)], check=True)
    return {"sam_2_weights": weights, "sam_2_config": TINY}
