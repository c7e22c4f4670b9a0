"""Fields in errors have the names of a form, whoever found them."""

from __future__ import annotations

import pytest

from diptych import InvalidRequestError, OverloadedError, Violation
from diptych_gateway.http.field_paths import form_path, with_form_paths

PATHS = {
    "model_ids[1]": "models[1]",
    "model_ids": "models",
    "model_id": "model",
    "request.task": "task",
    "request.prompts[0].box": "prompts[0].box",
    "image": "image",
    "image.encoded": "image",
    "image.sha256": "image_sha256",
    "match_iou": "match_iou",
    "output.category_ids[2]": "output.category_ids[2]",
    "automatic.points_per_side": "automatic.points_per_side",
    "automatic.min_mask_region_area_px": "automatic.min_mask_region_area",
    "output.any_px": "output.any",
    "prompts[3].points[1]": "prompts[3].points[1]",
    "prompts[3].points[1].label": "prompts[3].points[1]",
    "prompts[3].mask": "prompts[3].mask",
    "prompts[3].mask.mask": "prompts[3].mask",
    "prompts[3].mask.low_res_logits.float16_le": "prompts[3].mask",
    "prompts[3]": "prompts[3]",
    "": "",
}


@pytest.mark.parametrize(("path", "name"), PATHS.items())
def test_paths(path: str, name: str) -> None:
    assert form_path(path) == name
    assert form_path(name) == name


def test_an_error_stays_what_it_is() -> None:
    error = InvalidRequestError(
        "image.sha256: expected 32 bytes, got 1 (and 1 more)",
        reason="OPTION_INVALID",
        request_id="abc",
        metadata={"modelId": "one"},
        violations=[Violation("image.sha256", "expected 32 bytes"), Violation("model_id", "b")],
    )
    renamed = with_form_paths(error)
    assert type(renamed) is InvalidRequestError
    assert str(renamed) == "image_sha256: expected 32 bytes, got 1 (and 1 more)"
    assert [v.field for v in renamed.violations] == ["image_sha256", "model"]
    assert (renamed.reason, renamed.request_id) == ("OPTION_INVALID", "abc")
    assert renamed.metadata == error.metadata
    waiting = with_form_paths(OverloadedError("full", retry_after_s=2.0))
    assert (str(waiting), waiting.retry_after_s) == ("full", 2.0)
