"""The context: what a deployment can be told, and what is said when it is told nonsense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from infra.reading import BadContext
from infra.settings import PRESETS, READERS, Settings, read_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploying-settings.md"


def test_nothing_given_is_the_dev_preset() -> None:
    """Without a context there is a deployment, the cheap one."""
    assert read_settings({}) == Settings()


def test_presets_give_defaults() -> None:
    """A preset changes what is not given, and nothing that is."""
    prod = read_settings({"preset": "prod", "log_retention": "30"})
    assert prod.keep_data
    assert prod.log_retention == 30
    assert prod.reserved_concurrency > prod.max_concurrency
    assert set(PRESETS["prod"]) <= set(READERS)


def test_the_cdks_own_context_is_left_alone() -> None:
    """Feature flags and lookups of the CDK are none of ours."""
    read = read_settings({"@aws-cdk/core:some": True, "aws:cdk:bundling-stacks": [], "ssm:account=1": "x"})
    assert read == Settings()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("stagee", "x", "did you mean 'stage'?"),
        ("colour", "red", "there is none; known: name, stage"),
        ("stage", "Prod", "lower case"),
        ("preset", "test", "one of dev, prod"),
        ("python", "3.9", "3.13"),
        ("architecture", "arm", "arm64, x86_64"),
        ("executor_memory", "64", "from 128 to 10240"),
        ("executor_memory", "a lot", "whole number"),
        ("executor_memory", True, "whole number"),
        ("paused", "maybe", "neither true nor false"),
        ("log_retention", 15, "14, 30"),
        ("cors_origins", "*", "like https://console.example.com"),
        ("cors_origins", "[nonsense", "no JSON"),
        ("cors_origins", 7, "no list"),
        ("environment", "{", "no JSON"),
        ("environment", "[]", "no mapping"),
        ("environment", {"PATH": "/"}, "FLOWRUNNER_QUOTAS__FLOWS"),
        ("environment", {"FLOWRUNNER_SECRET_SMTP": "x"}, "may hold a secret"),
        ("certificate_arn", "arn:aws:acm:us-east-1:1:certificate/x", "ARN of a certificate"),
        ("console_certificate_arn", "arn:aws:acm:eu-west-1:123456789012:certificate/x", "us-east-1"),
        ("public_url", "ftp://x", "URL"),
        ("reserved_concurrency", 50, "more than max_concurrency, which is 50"),
        ("slow_reserved_concurrency", 3, "more than slow_max_concurrency"),
        ("domain", "flows.example.com", "needs certificate_arn"),
        ("restored_table", "runs", "needs restored_stream_arn"),
        ("restored_stream_arn", "arn:aws:dynamodb:x", "the ARN of a table's stream"),
        ("vpc_id", "vpc-12345678", "needs vpc_subnets"),
        ("vpc_subnets", "subnet-12345678", "needs vpc_id"),
        ("alarm_email", "ops@example.com", "needs alarms"),
        ("executor_timeout", 900, None),
        ("slow_timeout", 60, None),
        ("max_concurrency", 1, "from 2"),
    ],
)
def test_errors_name_the_key(key: str, value: Any, says: str | None) -> None:
    """A value that cannot be used is refused with its key and what would be right."""
    if says is None:
        assert getattr(read_settings({key: value}), key) == value
        return
    with pytest.raises(BadContext) as caught:
        read_settings({key: value})
    assert f"context {key!r}" in str(caught.value)
    assert says in str(caught.value)


def test_slow_is_not_faster_than_fast() -> None:
    """The slow lane gives a step as much time as the fast one at least."""
    with pytest.raises(BadContext, match="slow_timeout"):
        read_settings({"executor_timeout": 300, "slow_timeout": 200})


@pytest.mark.parametrize("given", ["a.example.com, b.example.com", '["a.example.com","b.example.com"]'])
def test_lists_are_read_in_both_notations(given: str) -> None:
    """`-c egress_allow=a,b` and JSON mean the same."""
    assert read_settings({"egress_allow": given}).egress_allow == ("a.example.com", "b.example.com")


def test_an_empty_value_is_none() -> None:
    """`-c domain=` takes away what cdk.json says."""
    assert read_settings({"domain": "", "cors_origins": ""}) == Settings()


def test_where_the_api_is() -> None:
    """A URL that is given wins over the domain."""
    certificate = "arn:aws:acm:us-east-1:123456789012:certificate/x"
    given = {"domain": "flows.example.com", "certificate_arn": certificate}
    assert read_settings(given).for_api() == "https://flows.example.com"
    assert read_settings(given | {"public_url": "https://x.example.com"}).for_api() == "https://x.example.com"
    assert read_settings({}).for_api() == ""


def test_the_page_of_settings_has_them_all() -> None:
    """docs/deploying-settings.md: every key, in order, with the defaults of both presets."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    presets = [read_settings({"preset": preset}) for preset in ("dev", "prod")]
    wanted = [(key, *(shown(getattr(preset, key)) for preset in presets)) for key in READERS]
    assert [tuple(row[:3]) for row in rows] == wanted


def shown(value: Any) -> str:
    """A default as the page has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`" if value not in ("", (), {}) else ""
