"""Two Ray nodes on this machine. Without Ray, which `make test-ray` installs, there is no test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ray_nodes import Nodes

try:
    distribution("ray")
except PackageNotFoundError:
    collect_ignore_glob = ["test_*.py"]
else:
    # Ray reads them when it is imported.
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="disabled",  # or it writes a token into the home directory
        # It ends replicas when others fill the machine.
        RAY_memory_monitor_refresh_ms="0",
        RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S="1",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        # Both nodes are this machine, and nobody else reaches what listens here.
        DIPTYCH_HOST="127.0.0.1",
        DIPTYCH_THREADS="1",
    )


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes with a GPU each, by their own account, and Serve."""
    from ray_nodes import running_nodes

    with running_nodes(tmp_path_factory.mktemp("models")) as running:
        yield running
