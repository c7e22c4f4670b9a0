"""Diptych's model services on a Ray cluster."""

from __future__ import annotations
