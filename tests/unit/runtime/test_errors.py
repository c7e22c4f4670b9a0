"""Errors on their way: nothing lost in a round trip, nothing over 4 KiB."""

from __future__ import annotations

from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from diptych_runtime.engine import Reason, ServiceError, Violation, invalid

texts = st.text(max_size=3000)


def bad_request(error: ServiceError) -> list[tuple[str, str]]:
    bad = error_details_pb2.BadRequest()
    for detail in error.to_status("id").details:
        detail.Unpack(bad)
    return [(v.field, v.description) for v in bad.field_violations]


def test_a_round_trip_keeps_everything() -> None:
    error = ServiceError(
        Reason.QUEUE_FULL,
        "full",
        metadata={"queueLength": "3"},
        violations=[Violation("prompts[1].box", "expected this, got that")],
        retry_after_s=0.25,
    )
    came = ServiceError.from_status(error.to_status("0123"))
    assert vars(came) == vars(error)


def test_unknown_reasons_become_model_failed() -> None:
    status = invalid(Reason.OPTION_INVALID, "task", "no").to_status()
    info = error_details_pb2.ErrorInfo(reason="FROM_THE_FUTURE")
    status.details[0].Pack(info)
    assert ServiceError.from_status(status).reason is Reason.MODEL_FAILED


def test_500_violations_are_cut_and_counted() -> None:
    many = [Violation(f"prompts[{i}].box", f"expected 1, got {i}") for i in range(500)]
    error = ServiceError(Reason.PROMPT_INVALID, "many", violations=many)
    assert error.to_status("id").ByteSize() <= 4096
    listed = bad_request(error)
    assert listed[0] == ("prompts[0].box", "expected 1, got 0")
    assert listed[-1] == ("", f"and {500 - (len(listed) - 1)} more")
    assert len(listed) > 40


def test_violations_that_fit_are_all_there() -> None:
    few = [Violation(f"prompts[{i}]", "expected a box") for i in range(50)]
    assert bad_request(ServiceError(Reason.PROMPT_INVALID, "few", violations=few)) == [
        (v.field, v.description) for v in few
    ]


@given(
    message=texts,
    metadata=st.dictionaries(st.sampled_from(["modelId", "sha256", "task"]), texts),
    violations=st.lists(st.builds(Violation, texts, texts), max_size=60),
    retry=st.none() | st.floats(0, 1000),
)
def test_no_status_passes_4_kib(
    message: str, metadata: dict[str, str], violations: list[Violation], retry: float | None
) -> None:
    error = ServiceError(
        Reason.PROMPT_INVALID,
        message,
        metadata=metadata,
        violations=violations,
        retry_after_s=retry,
    )
    status = error.to_status("0" * 16)
    assert status.ByteSize() <= 4096
    assert len(bad_request(error)) >= bool(violations)
