"""Diptych's models as functions of CVAT: for ``cvat-cli task auto-annotate`` and for its agents.

``--function-module diptych_cvat`` detects, ``diptych_cvat.interactor`` outlines what is clicked on,
and ``diptych_cvat.tracker`` follows objects from frame to frame.
"""

from .detector import create

__all__ = ["create"]
