"""What features on a disk save: a prompt after a restart, against one from memory.

    python benchmarks/features_disk.py [--pictures 200] [--others 20] [--size 1200x1800]

Starts the SAM 2 service with the architecture of sam2.1-hiera-tiny, random weights and a folder for
features, asks one point of each picture, ends the service and starts it again. Then, picture by
picture: one point, whose features come from the disk; the same by a client that does not know that
the picture is held, so that it sends the file, too; and by one that sends the digest. The encoder
must not run. Then features are damaged, and those of every second picture must be made anew, as
those of all that other weights and the other tier are asked about. Last, the folder gets a quarter
of the bytes that it has, and more pictures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
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


def made_anew(
    what: str, pictures: Sequence[bytes], expected: int, settings: Mapping[str, object]
) -> None:
    """Ask a service of its own about pictures, of which the encoder has to run for so many.

    Raises:
        SystemExit: it ran for others.
    """
    with served.running("diptych_sam2", **settings) as service:
        runs = asked(service.address, pictures)
    print(f"{len(pictures)} pictures, {what}: the encoder ran {runs} times, expected {expected}")
    if runs != expected:
        raise SystemExit(1)


def asked(address: str, pictures: Sequence[bytes]) -> int:
    """How often the encoder ran, in all, after a point of each picture."""
    with diptych.Client(address, timeout=300) as client:
        for picture in pictures:
            ask(client, picture)
        return client.model_stats().encoder_run_count


def damage(folder: Path) -> int:
    """Overwrite the end of every second file of features; returns how many."""
    files = sorted(folder.rglob("*.features"))[::2]
    for file in files:
        file.write_bytes(file.read_bytes()[:-100] + bytes(100))
    return len(files)


def size(folder: Path) -> int:
    """Bytes of all files of features."""
    return sum(file.stat().st_size for file in folder.rglob("*.features"))


def bound(pictures: Sequence[bytes], folder: Path, settings: Mapping[str, object]) -> None:
    """Give the folder a quarter of what it has, then more pictures.

    Raises:
        SystemExit: it has more.
    """
    budget = size(folder) // 4
    with served.running("diptych_sam2", **settings, features_bytes=budget) as service:
        asked(service.address, pictures)
        until = time.monotonic() + 60
        while size(folder) > budget and time.monotonic() < until:
            time.sleep(0.1)  # features are written behind
        found = size(folder)
    print(f"{len(pictures)} more pictures, a budget of {budget} bytes: {found} on the disk")
    if found > budget:
        raise SystemExit(1)


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
    parser.add_argument("--others", type=int, default=20, help="of them, for what is not used")
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
            "tier": "fast",
        }
        with served.running("diptych_sam2", **settings) as service:
            encoded_s = warm(service.address, pictures, kept)
        with served.running("diptych_sam2", **settings) as service:
            times = measure(service.address, pictures)
        mebibytes = size(kept) / len(pictures) / 2**20
        made_anew("half of them damaged", pictures, damage(kept), settings)
        few = pictures[: args.others]
        foreign = {**settings, **served.tiny_random(Path(name), seed=1)}
        made_anew("kept by other weights", few, len(few), foreign)
        made_anew("kept in the other tier", few, len(few), {**settings, "tier": "exact"})
        more = [photograph(height, width, -1 - number) for number in range(args.others)]
        bound(more, kept, settings)
    print(f"with the encoder {encoded_s * 1e3:.0f} ms; on the disk {mebibytes:.1f} MiB a picture")
    found = rows(times)
    machine.print_rows(found)
    machine.keep("features_disk", {"size": args.size, "seconds": times}, rows=found, notes=[])


if __name__ == "__main__":
    main()
