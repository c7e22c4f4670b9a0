"""Paths of fields as a form has them; models name fields as the messages do."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from diptych import DiptychError, ModelOutcome, Violation

Error = TypeVar("Error", bound=DiptychError)
_OutcomeT = TypeVar("_OutcomeT", bound=ModelOutcome)

_RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^request\.", ""),
        (r"^model_ids\b", "models"),
        (r"^model_id$", "model"),
        (r"^image\.encoded$", "image"),
        (r"^image\.sha256$", "image_sha256"),
        (r"\.mask\.(mask|low_res_logits)\b.*", ".mask"),
        (r"(\.points\[\d+\])\.label$", r"\1"),
        (r"^((?:automatic|output)\.\w+)_px$", r"\1"),
    )
)


def form_path(path: str) -> str:
    """Translate the path of a field in a message, such as ``model_ids[1]``: ``models[1]``."""
    for pattern, name in _RENAMED:
        path = pattern.sub(name, path)
    return path


def with_form_paths(error: Error) -> Error:
    """Copy an error with the paths of a form, in its violations and before its message."""
    message = str(error)
    for violation in error.violations:
        if message.startswith(f"{violation.field}: "):
            message = form_path(violation.field) + message[len(violation.field) :]
            break
    return type(error)(
        message,
        code=error.code,
        reason=error.reason,
        metadata=error.metadata,
        request_id=error.request_id,
        violations=[Violation(form_path(v.field), v.description) for v in error.violations],
        retry_after_s=error.retry_after_s,
    )


def outcome_with_form_paths(outcome: _OutcomeT) -> _OutcomeT:
    """Copy an outcome; its error, if there is one, as ``with_form_paths``."""
    return replace(outcome, error=with_form_paths(outcome.error)) if outcome.error else outcome
