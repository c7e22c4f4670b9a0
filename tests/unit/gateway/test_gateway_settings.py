from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from diptych_gateway.backend.addresses import Name
from diptych_gateway.settings import (
    Endpoint,
    Pair,
    parse_endpoints,
    parse_pairs,
    read_settings,
    warn_of_old_names,
)
from diptych_runtime.settings import SettingsError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("DIPTYCH_"):
            monkeypatch.delenv(name)


def test_models_in_their_order() -> None:
    assert parse_endpoints(" sam-2 = sam2:50062 , mask-rcnn=[::1]:50061,") == (
        Endpoint("sam-2", "sam2:50062"),
        Endpoint("mask-rcnn", "[::1]:50061"),
    )
    assert Endpoint("a", "b:1").source == Name("b", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one model"),
        (" , ", "at least one model"),
        ("localhost:50061", "as name=host:port"),
        ("Mask=localhost:50061", "lower-kebab-case"),
        ("=localhost:50061", "lower-kebab-case"),
        ("a=localhost", "as host:port"),
        ("a=localhost:0", "as host:port"),
        ("a=localhost:99999", "as host:port"),
        ("a=http://localhost:1", "as host:port"),
        ("a=x:1,a=y:2", "only once"),
    ],
)
def test_what_to_change_is_said(monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", text)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    message = str(caught.value)
    assert said in message
    assert "DIPTYCH_MODELS" in message
    assert "\n" not in message


def test_http_is_on_unless_its_port_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=b:1")
    assert read_settings().http_port == 8080
    for text, port in (("0", 0), ("9000", 9000), ("", None)):
        monkeypatch.setenv("DIPTYCH_HTTP_PORT", text)
        assert read_settings().http_port == port
    monkeypatch.setenv("DIPTYCH_HTTP_PORT", "off")
    with pytest.raises(SettingsError, match="DIPTYCH_HTTP_PORT='off'"):
        read_settings()


def test_origins_are_written_as_browsers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=b:1")
    assert read_settings().http_origins == ()
    monkeypatch.setenv("DIPTYCH_HTTP_ORIGINS", " https://A.example, http://[::1]:8080,")
    assert read_settings().http_origins == ("https://a.example", "http://[::1]:8080")
    for text in ("a.example", "*", "https://a.example/", "ftp://a.example", "https://a:x", "null"):
        monkeypatch.setenv("DIPTYCH_HTTP_ORIGINS", text)
        with pytest.raises(SettingsError, match=r"DIPTYCH_HTTP_ORIGINS=.*without a path"):
            read_settings()


def test_no_models_at_all() -> None:
    with pytest.raises(SettingsError, match=r"DIPTYCH_MODELS.*mask-rcnn=localhost:50061"):
        read_settings()


def test_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=b:1")
    assert (read_settings().host, read_settings().port) == ("127.0.0.1", 50051)
    monkeypatch.setenv("DIPTYCH_PORT", "6000")
    monkeypatch.setenv("DIPTYCH_REFLECTION", "false")
    settings = read_settings()
    assert (settings.port, settings.reflection) == (6000, False)
    monkeypatch.setenv("DIPTYCH_PORT", "seventy")
    monkeypatch.setenv("DIPTYCH_DRAIN_S", "inf")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "DIPTYCH_PORT='seventy'" in str(caught.value)
    assert "DIPTYCH_DRAIN_S='inf'" in str(caught.value)


def test_cascades_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_pairs(" mask-rcnn > sam-2 , a>b,") == (Pair("mask-rcnn", "sam-2"), Pair("a", "b"))
    assert Pair("mask-rcnn", "sam-2").model_id == "mask-rcnn-sam-2"
    monkeypatch.setenv("DIPTYCH_MODELS", "a=x:1,b=y:2")
    assert read_settings().cascades == ()
    monkeypatch.setenv("DIPTYCH_CASCADES", "")
    assert read_settings().cascades == ()
    monkeypatch.setenv("DIPTYCH_CASCADES", "b>a,a>b")
    assert [pair.model_id for pair in read_settings().cascades] == ["b-a", "a-b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "as detector>segmenter"),
        ("a>", "as detector>segmenter"),
        (">b", "as detector>segmenter"),
        ("a>b>c", "as detector>segmenter"),
        ("a>z", "got 'z' in 'a>z'"),
        ("z>a", "expected names of DIPTYCH_MODELS, a, b, a-b"),
        ("a>a", "two different models"),
        ("a>b", "would be 'a-b', which is there already"),
        ("b>a,b>a", "would be 'b-a', which is there already"),
    ],
)
def test_what_to_change_in_a_cascade_is_said(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=x:1,b=y:2,a-b=z:3")
    monkeypatch.setenv("DIPTYCH_CASCADES", text)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert said in str(caught.value)
    assert f"change DIPTYCH_CASCADES='{text}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cascades_of_models_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=nowhere")
    monkeypatch.setenv("DIPTYCH_CASCADES", "a>b")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "DIPTYCH_CASCADES" not in str(caught.value)


def test_the_old_name_of_a_setting_holds_for_one_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=b:1")
    monkeypatch.setenv("DIPTYCH_PICTURE_CACHE_BYTES", "1000")
    assert read_settings().image_cache_bytes == 1000
    with capture_logs() as logs:
        warn_of_old_names()
    assert [(log["log_level"], log["variable"], log["use"]) for log in logs] == [
        ("warning", "DIPTYCH_PICTURE_CACHE_BYTES", "DIPTYCH_IMAGE_CACHE_BYTES")
    ]
    monkeypatch.setenv("DIPTYCH_PICTURE_CACHE_BYTES", "many")
    with pytest.raises(SettingsError, match="DIPTYCH_PICTURE_CACHE_BYTES='many'"):
        read_settings()
    monkeypatch.setenv("DIPTYCH_IMAGE_CACHE_BYTES", "2000")
    assert read_settings().image_cache_bytes == 2000


def test_new_names_are_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_MODELS", "a=b:1")
    monkeypatch.setenv("DIPTYCH_IMAGE_CACHE_BYTES", "2000")
    assert read_settings().image_cache_bytes == 2000
    with capture_logs() as logs:
        warn_of_old_names()
    assert logs == []
