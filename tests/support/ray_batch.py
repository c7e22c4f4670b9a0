"""A batch on Ray Data, in a process that may be killed at any time, and be started again.

    python ray_batch.py PICTURES CHECKPOINT OUT

Prints ``done`` at the end.
"""

from __future__ import annotations

import os
import sys

ROWS_AT_A_TIME = 5
_CHECKPOINT_MEMORY = 50 * 2**20
_OBJECTS_MEMORY = 150 * 2**20


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

    from diptych_ray.batch import Segmenter

    folder, checkpoint, out = sys.argv[1:]
    ray.init(
        address="local",
        num_cpus=3,
        object_store_memory=_OBJECTS_MEMORY,
        include_dashboard=False,
        log_to_driver=False,
    )
    CheckpointConfig.CHECKPOINT_ACTOR_MEMORY_BYTES = _CHECKPOINT_MEMORY
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        "path", checkpoint, delete_checkpoint_on_success=False
    )
    pictures = ray.data.read_binary_files(folder, include_paths=True, override_num_blocks=12)
    found = pictures.map_batches(
        Segmenter,
        fn_constructor_args=("mask-rcnn",),
        batch_size=ROWS_AT_A_TIME,
        concurrency=1,
    )
    found.write_parquet(out)
    print("done", flush=True)


if __name__ == "__main__":
    main()
