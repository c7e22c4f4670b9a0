"""Render a pool of scenes once.  python pool.py 12000 demo-weights/work/pool [--first SEED]"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from multiprocessing import Pool as Workers
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from scenes import scene

MOST = 6  # objects in a scene


@dataclass
class Pool:
    """Memory-mapped scenes with seeds in order."""

    image: NDArray[np.uint8]  # (N, S, S, 3)
    labels: NDArray[np.uint8]  # (N, S, S)
    classes: NDArray[np.uint8]  # (N, 6), 0 where there is no object
    keypoints: NDArray[np.float32]  # (N, 6, 17, 3)

    @classmethod
    def load(cls, folder: str | Path) -> Pool:
        """Open a pool that ``main`` has written."""
        names = ("image", "labels", "classes", "keypoints")
        return cls(*(np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in names))


def row(seed: int) -> tuple[NDArray[np.generic], ...]:
    """One scene as the four columns of the pool."""
    one = scene(seed)
    classes, keypoints = np.zeros(MOST, np.uint8), np.zeros((MOST, 17, 3), np.float32)
    classes[: len(one.classes)] = one.classes
    keypoints[: len(one.classes)] = one.keypoints
    return one.image, one.labels, classes, keypoints


def main() -> None:
    """Write the columns of ``count`` scenes as .npy files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    columns = [
        open_memmap(args.folder / f"{name}.npy", "w+", dtype, (args.count, *shape))
        for name, dtype, shape in (
            ("image", np.uint8, (256, 256, 3)),
            ("labels", np.uint8, (256, 256)),
            ("classes", np.uint8, (MOST,)),
            ("keypoints", np.float32, (MOST, 17, 3)),
        )
    ]
    seeds = range(args.first, args.first + args.count)
    with Workers(args.workers) as workers:
        for index, parts in enumerate(workers.imap(row, seeds, chunksize=25)):
            for column, part in zip(columns, parts, strict=True):
                column[index] = part
    print(f"{args.count} scenes in {args.folder}")


if __name__ == "__main__":
    main()
