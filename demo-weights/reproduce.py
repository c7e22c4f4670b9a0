"""Make the demo weights from nothing: scenes, training, figures, files in the service packages.

python demo-weights/reproduce.py [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import load, packaged, save

HERE = Path(__file__).parent
SCENES = 12_000
VIDEO_STEPS, CLICK_STEPS, MEMORY_STEPS = 900, 2000, 325
QUICK_SCENES, QUICK_STEPS, QUICK_EVALUATION = 300, 3, 3


@dataclass(frozen=True)
class Stage:
    """One training run: its script, name, steps and options; ``{name}`` is an earlier result."""

    script: str
    name: str
    steps: int
    options: str


# Early on the candidates of SAM 2 may differ; the last stage makes them agree.
FIRST = "--prompts 2 --best 1 --mean 0.2 --quality 0.5"
STAGES = (
    Stage("train_rcnn.py", "mask", 1350, "--lr 1e-3"),
    Stage("train_rcnn.py", "keypoint-1", 600, "--keypoints --lr 1e-3 --init {mask}"),
    Stage("train_rcnn.py", "keypoint", 1100, "--keypoints --lr 5e-4 --init {keypoint-1} --seed 11"),
    Stage(
        "train_sam2.py",
        "sam2-1",
        2100,
        f"{FIRST} --size 128 --batch 6 --lr 1e-3 --dense 1 --refine 0",
    ),
    Stage("train_sam2.py", "sam2-2", 1200, f"{FIRST} --stretch 2 --lr 6e-4 --init {{sam2-1}}"),
    Stage("train_sam2.py", "sam2-3", 600, f"{FIRST} --lr 4e-4 --init {{sam2-2}} --seed 7"),
    Stage("train_sam2.py", "sam2", 1150, "--lr 2.5e-4 --init {sam2-3} --seed 12"),
)


def run(script: str, *options: str | Path) -> None:
    """Run one of the scripts and stop at the first that fails."""
    command = [sys.executable, str(HERE / script), *map(str, options)]
    print("$", " ".join(command[1:]), flush=True)
    start = time.monotonic()
    subprocess.run(command, check=True)
    print(f"  {time.monotonic() - start:.0f} s", flush=True)


def train(stage: Stage, work: Path, steps: int) -> None:
    """Run a stage, its result is ``work/name.safetensors``."""
    names = {s.name: str(work / f"{s.name}.safetensors") for s in STAGES}
    options = [option.format_map(names) for option in stage.options.split()]
    seen = ("--pool", work / "pool", "--out", names[stage.name])
    run(stage.script, "--steps", str(steps), *seen, *options)


def train_memory_and_clicks(work: Path, quick: bool) -> Path:
    """The memory, then clicks with it, then the memory once more; the last result."""
    names = ("sam2", "sam2-video", "sam2-clicks", "sam2-mean", "sam2-final")
    pictures, video, clicks, mean, final = (work / f"{name}.safetensors" for name in names)
    counts = (VIDEO_STEPS, CLICK_STEPS, MEMORY_STEPS)
    first, middle, last = (("--steps", str(QUICK_STEPS if quick else n)) for n in counts)
    run("train_video.py", *first, "--init", pictures, "--out", video)
    little = ("--scenes", "8", "--clips", "2") if quick else ()
    run("train_clicks.py", *middle, *little, "--init", video, "--out", clicks)
    run("blend.py", video, clicks, mean)
    run("train_video.py", *last, "--trained", "--lr", "2.5e-4", "--init", mean, "--out", final)
    return final


def main() -> None:
    """Run every stage; --quick takes a few steps of each and leaves the packages alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps, in a temporary folder")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    args = parser.parse_args()
    if not args.quick:
        reproduce(args.work, quick=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        reproduce(Path(folder), quick=True)


def reproduce(work: Path, quick: bool) -> None:
    """Scenes, training, files, figures; with ``quick`` all of it stays in ``work``."""
    work.mkdir(parents=True, exist_ok=True)
    run("pool.py", str(QUICK_SCENES if quick else SCENES), work / "pool")
    for stage in STAGES:
        train(stage, work, QUICK_STEPS if quick else stage.steps)
    final = train_memory_and_clicks(work, quick)
    if quick:
        run("automatic.py", "--weights", final, "--scenes", "2", "--sides", "4")
    scenes = ("--scenes", str(QUICK_EVALUATION if quick else 1000), "--write")
    for what in ("mask", "keypoint", "sam2", "automatic"):
        name = "sam2" if what == "automatic" else what
        file = work / f"{name}-demo.safetensors" if quick else packaged(name)
        save(load(final if name == "sam2" else work / f"{name}.safetensors"), file, half=True)
        places = ("--file", work / "figures.json") if quick else ()
        run("evaluate.py", what, "--weights", file, *scenes, *places)
    for prompt, first in (("mask", 30_000_000), ("box", 30_000_050)):
        clips = ("--clips", str(1 if quick else 50), "--first", str(first))
        run("evaluate_video.py", "--weights", final, "--prompt", prompt, *clips)
    for what, count in (("scenes", 300), ("corrections", 100)):
        least = (QUICK_EVALUATION, *places) if quick else (count,)
        run("evaluate_clicks.py", what, "--weights", final, "--write", "--count", *map(str, least))
    run("evaluate_tracking.py", *(("--clips", "1") if quick else ("--write",)))


if __name__ == "__main__":
    main()
