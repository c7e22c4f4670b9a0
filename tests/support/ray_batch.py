"""The batch on Ray Data that the documentation shows, in a process that may be killed.

    python ray_batch.py PICTURES CHECKPOINT OUT

It has folders instead of a bucket, a processor instead of GPUs, and small steps. Prints ``done``
at the end.
"""

from __future__ import annotations

import os
import sys

from documentation import DOCS, blocks

_CHECKPOINT_MEMORY = 50 * 2**20
_OBJECTS_MEMORY = 150 * 2**20
_HERE = {
    "num_gpus=1": "num_cpus=1",
    "concurrency=4": "concurrency=1",
    "batch_size=16": "batch_size=5",
    '("sam-2",)': '("mask-rcnn",)',
    "include_paths=True": "include_paths=True, override_num_blocks=12",
}


def shown(pictures: str, checkpoint: str, out: str) -> str:
    """The program of the page, with what is different here."""
    ((program, _),) = [
        block for block in blocks("py", [DOCS / "batch.md"]) if "Segmenter" in block[0]
    ]
    places = {"photos": pictures, "checkpoint": checkpoint, "found": out}
    changes = {f"s3://bucket/{name}": place for name, place in places.items()} | _HERE
    for there, here in changes.items():
        assert program.count(there) == 1, there
        program = program.replace(there, here)
    return program


def main() -> None:
    """Run what is left of the batch."""
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="disabled",
        RAY_memory_monitor_refresh_ms="0",
        RAY_DATA_DISABLE_PROGRESS_BARS="1",
        DIPTYCH_THREADS="1",
    )
    import ray  # it reads the environment
    from ray.data.checkpoint import CheckpointConfig

    ray.init(
        address="local",
        num_cpus=3,
        object_store_memory=_OBJECTS_MEMORY,
        include_dashboard=False,
        log_to_driver=False,
    )
    CheckpointConfig.CHECKPOINT_ACTOR_MEMORY_BYTES = _CHECKPOINT_MEMORY
    exec(compile(shown(*sys.argv[1:]), "docs/batch.md", "exec"), {"__name__": "page"})
    print("done", flush=True)


if __name__ == "__main__":
    main()
