"""What features on a disk save: a prompt after a restart, against one from memory.

    python benchmarks/features_disk.py [--pictures 200] [--size 1200x1800] [--threads N]

Starts the SAM 2 service with the architecture of sam2.1-hiera-tiny, random weights and a folder for
features, asks one point of each picture, ends the service and starts it again. Then, picture by
picture: one point, whose features come from the disk; the same by a client that does not know that
the picture is held, so that it sends the file, too; and by one that sends the digest. The encoder
must not run. Last, features are damaged, and those of every second picture must be made anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import machine
import served
import torch
from second_prompt import photograph

import diptych

BOUNDS = (1 / 1.3, 1.0)


def ask(client: diptych.Client, picture: bytes) -> float:
    """Seconds of one point."""
    started = time.perf_counter()
    client.segment(picture, points=[(500, 500)])
    return time.perf_counter() - started


def warm(address: str, pictures: Sequence[bytes], folder: Path) -> float:
    """Seconds that a picture takes with the encoder; returns when all features are written."""
    with diptych.Client(address, timeout=300) as client:
        spent = [ask(client, picture) for picture in pictures]
    while len(list(folder.rglob("*.features"))) < len(pictures):
        time.sleep(0.05)
    return sorted(spent)[len(spent) // 2]


def measure(address: str, pictures: Sequence[bytes]) -> dict[str, list[float]]:
    """Seconds from the disk, from memory with the file sent, and by digest, by picture."""
    times: dict[str, list[float]] = {"disk": [], "memory": [], "digest": []}
    for picture in pictures:
        with diptych.Client(address) as first:
            first.model_card()  # connected
            times["disk"].append(ask(first, picture))
        with diptych.Client(address) as again:
            again.model_card()
            times["memory"].append(ask(again, picture))
            times["digest"].append(ask(again, picture))
    with diptych.Client(address) as client:
        runs = client.model_stats().encoder_run_count
    print(f"{len(pictures)} pictures after a restart: the encoder ran {runs} times")
    if runs:
        raise SystemExit("expected 0")
    return times


def damage(address: str, pictures: Sequence[bytes]) -> None:
    """Ask about pictures of which every second one's features are damaged."""
    with diptych.Client(address) as client:
        for picture in pictures:
            ask(client, picture)
        runs = client.model_stats().encoder_run_count
    print(f"{len(pictures)} pictures, half of them damaged: the encoder ran {runs} times")


def rows(times: dict[str, list[float]]) -> list[machine.Row]:
    """A prompt from the disk against one from memory."""
    made = []
    for other, against in (("memory", "from memory, file sent"), ("digest", "from memory, digest")):
        floor, aim = BOUNDS if other == "memory" else (None, None)
        made.append(
            machine.row(
                "SAM 2.1 tiny, a point on a picture whose features are on the disk",
                against,
                ours=[s * 1e3 for s in times["disk"]],
                theirs=[s * 1e3 for s in times[other]],
                unit="ms",
                ratios=[a / b for a, b in zip(times[other], times["disk"], strict=True)],
                floor=floor,
                aim=aim,
            )
        )
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--size", default="1200x1800", help="height x width in pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    print(machine.describe())
    pictures = [photograph(height, width, number) for number in range(args.pictures)]
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name, "features")
        settings = {
            **served.tiny_random(Path(name)),
            "threads": args.threads,
            "features_dir": kept,
        }
        with served.running("diptych_sam2", **settings) as service:
            encoded_s = warm(service.address, pictures, kept)
        with served.running("diptych_sam2", **settings) as service:
            times = measure(service.address, pictures)
        files = sorted(kept.rglob("*.features"))
        mebibytes = sum(file.stat().st_size for file in files) / len(files) / 2**20
        for file in files[::2]:
            file.write_bytes(file.read_bytes()[:-100] + bytes(100))
        with served.running("diptych_sam2", **settings) as service:
            damage(service.address, pictures)
    print(f"with the encoder {encoded_s * 1e3:.0f} ms; on the disk {mebibytes:.1f} MiB a picture")
    found = rows(times)
    machine.print_rows(found)
    machine.keep("features_disk", {"size": args.size, "seconds": times}, rows=found, notes=[])


if __name__ == "__main__":
    main()
