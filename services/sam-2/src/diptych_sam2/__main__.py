"""Starts the SAM 2 service: ``diptych-sam-2``, or ``python -m diptych_sam2``."""

from __future__ import annotations

from diptych_runtime.main import ServiceSpec, run

from .weights.official import OFFICIAL

SPEC = ServiceSpec(
    model_id="sam-2",
    default_port=50062,
    engine="diptych_sam2.engine:create",
    official=OFFICIAL,
    converter="diptych_torch.convert",
    weights_variable="DIPTYCH_SAM_2_WEIGHTS",
    settings="diptych_sam2.settings:EngineSettings",
)
"""What sets this service apart."""


def main() -> None:
    """Entry point."""
    run(SPEC)


if __name__ == "__main__":
    main()
