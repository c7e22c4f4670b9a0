"""The demo of the evaluation: all models on 50 drawn scenes and 4 clips that none was trained on.

python eval_demo.py

Draws the scenes, starts the processes of the Procfile with the demo weights in the exact tier, runs
``diptych eval`` and stops everything. The reports are in ``demo-out/eval``. Run again, it asks only
for what it has no answers to. The exit status is that of ``diptych eval``, or 1 with one line that
says why there was none.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from demo import (
    INTERRUPTED,
    OUT,
    PATIENCE_S,
    ROOT,
    DemoError,
    check_ports,
    environment,
    running,
    stop_on_signal,
    wait_serving,
)
from official_weights import say

RESULTS = OUT / "eval"
DATA = OUT / "eval-data"
PICTURE_TASKS = ("instances", "boxes", "keypoints", "prompted")
MODELS = ("mask-rcnn", "mask-rcnn-sam-2", "sam-2")


def draw() -> None:
    """Write the data sets."""
    script = ROOT / "demo-weights" / "dataset.py"
    subprocess.run([sys.executable, str(script), str(DATA)], check=True)


def evaluate(data: Path, out: Path, options: list[str], settings: dict[str, str]) -> int:
    """Run the evaluation as a user would; returns its exit status."""
    arguments = ["eval", os.path.relpath(data), *options, "--out", os.path.relpath(out)]
    say(f"\n$ diptych {shlex.join(arguments)}")
    # A busy or slow machine may need longer than a caller usually wants to wait.
    command = [str(Path(sys.executable).parent / "diptych"), *arguments]
    command += ["--timeout", f"{PATIENCE_S:g}"]
    return subprocess.run(command, env=settings, check=False).returncode


def show() -> int:
    """Draw, start everything, evaluate, stop everything; returns the exit status.

    Raises:
        DemoError: the services cannot be started.
    """
    started = time.monotonic()
    OUT.mkdir(exist_ok=True)
    log = OUT / "services.log"
    check_ports()
    draw()
    settings = {**environment({}), "DIPTYCH_TIER": "exact"}
    say("Starting all models and the gateway with the demo weights, exact tier ...")
    models = [word for name in MODELS for word in ("--model", name)]
    tasks = [word for name in PICTURE_TASKS for word in ("--task", name)]
    with running(log, settings) as runner:
        wait_serving(runner, log)
        coco = DATA / "coco" / "instances.json"
        status = evaluate(coco, RESULTS, [*models, *tasks], settings)
        status = status or evaluate(DATA / "davis", RESULTS / "video", [], settings)
    say(f"Everything is stopped again. The demo took {time.monotonic() - started:.0f} s.")
    return status


def main() -> int:
    """Run the demo; returns the exit status."""
    try:
        return show()
    except DemoError as error:
        sys.stderr.write(f"eval-demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("eval-demo: interrupted, everything is stopped\n")
        return INTERRUPTED


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    raise SystemExit(main())
