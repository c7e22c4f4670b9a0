"""Which tier a setting means on which hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from diptych_runtime.engine import tier
from diptych_runtime.engine.tier import Tier, TierChoice, choose_tier, cpu_multiplies_bfloat16
from diptych_runtime.machine import processor_flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: X\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("model name\t: bf16\nflags\t\t: fpu\n", False),
        ("", False),
    ],
)
def test_the_flags_of_a_cpu_say_whether_it_multiplies_bfloat16(
    tmp_path: Path, text: str, expected: bool
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert cpu_multiplies_bfloat16(processor_flags(path)) is expected


def test_a_system_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert cpu_multiplies_bfloat16(processor_flags(tmp_path / "absent")) is False


@pytest.mark.parametrize(
    ("wanted", "on_cpu", "capability", "expected"),
    [
        ("auto", True, None, Tier.FAST),
        ("auto", False, None, Tier.EXACT),
        ("auto", False, (8, 0), Tier.FAST),
        ("auto", True, (7, 5), Tier.EXACT),
        ("exact", True, (9, 0), Tier.EXACT),
        ("fast", False, None, Tier.FAST),
    ],
)
def test_only_auto_looks_at_the_hardware(
    monkeypatch: pytest.MonkeyPatch,
    wanted: TierChoice,
    on_cpu: bool,
    capability: tuple[int, int] | None,
    expected: Tier,
) -> None:
    monkeypatch.setattr(tier, "cpu_multiplies_bfloat16", lambda: on_cpu)
    assert choose_tier(wanted, capability) is expected
