"""``diptych-mask-rcnn``: serve the model, get or check its weights."""

from __future__ import annotations

from diptych_runtime.main import ServiceSpec, run

from .weights.official import OFFICIAL

SPEC = ServiceSpec(
    model_id="mask-rcnn",
    default_port=50061,
    engine="diptych_maskrcnn.engine:create",
    official=OFFICIAL,
    converter="diptych_torch.convert",
    weights_variable="DIPTYCH_MASK_RCNN_WEIGHTS",
    further_weights={"keypoints": "DIPTYCH_KEYPOINT_WEIGHTS"},
    settings="diptych_maskrcnn.settings:EngineSettings",
)
"""What sets this service apart."""


def main() -> None:
    """Run the command line that all model services share."""
    run(SPEC)


if __name__ == "__main__":
    main()
