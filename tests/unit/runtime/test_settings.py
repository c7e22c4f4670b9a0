"""Settings from the environment."""

from __future__ import annotations

import pytest

from diptych_runtime.settings import RuntimeSettings, SettingsError, read_settings


def test_defaults() -> None:
    settings = RuntimeSettings()
    assert settings.host == "127.0.0.1"
    assert settings.max_image_px == 50_000_000


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_PORT", "0")
    monkeypatch.setenv("DIPTYCH_CACHE_BYTES", "12")
    settings = read_settings()
    assert (settings.port, settings.cache_bytes) == (0, 12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIPTYCH_PORT", "70000"),
        ("DIPTYCH_PORT", "http"),
        ("DIPTYCH_QUEUE_REQUESTS", "0"),
        ("DIPTYCH_CACHE_BYTES", "512MiB"),
        ("DIPTYCH_LOG_LEVEL", "loud"),
        ("DIPTYCH_REFLECTION", "perhaps"),
        ("DIPTYCH_STEP_TIMEOUT_S", "-1"),
        ("DIPTYCH_MAX_DEADLINE_S", "nan"),
        ("DIPTYCH_DRAIN_S", "inf"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    text = str(caught.value)
    assert text.startswith(f"{name}='{value}': ")
    assert "\n" not in text


def test_all_bad_values_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_PORT", "x")
    monkeypatch.setenv("DIPTYCH_MAX_PROMPTS", "x")
    with pytest.raises(SettingsError, match=r"DIPTYCH_PORT=.*; DIPTYCH_MAX_PROMPTS="):
        read_settings()
