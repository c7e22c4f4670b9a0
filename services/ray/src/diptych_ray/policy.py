"""How many replicas the load asks for. Serve sees no request, so services say what they have."""

from __future__ import annotations

import math
from typing import Any

from ray.serve.config import AutoscalingContext

IN_SERVICE = "in_service"
"""What replicas report: requests that wait or run, and video sessions."""


class LoadPolicy:
    """Replicas for ``load_per_replica`` requests each. Delays and bounds are Serve's own."""

    def __init__(self, load_per_replica: float) -> None:
        self._load_per_replica = load_per_replica

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Return the replicas that are wanted; as many as now where no replica has reported."""
        reported = (context.aggregated_metrics or {}).get(IN_SERVICE)
        if not reported:
            return context.target_num_replicas, {}
        # Those that are about to report have no load yet.
        return max(1, math.ceil(sum(reported.values()) / self._load_per_replica)), {}
