"""Diptych's model services on a Ray cluster: ``serve run diptych_ray:app``.

Ray Serve says where replicas run, starts them again and scales them. Each replica is a whole model
service on a port of its own that gateways dial themselves: no request passes through Ray.
"""

from __future__ import annotations

from .application import app

__all__ = ["app"]
