"""Sizes, addresses and moments as people write them, and moments as others read them."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.core.addresses import parse_address, parse_origin
from flowrunner.core.sizes import parse_size
from flowrunner.core.times import day_of, iso_time, parse_time


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("17", 17),
        ("17B", 17),
        ("64KiB", 65_536),
        ("32 MiB", 33_554_432),
        ("2GiB", 2_147_483_648),
    ],
)
def test_sizes_as_people_write_them(written: Any, size: int) -> None:
    """In bytes, or with one of the units that count by 1024."""
    assert parse_size(written) == size


@pytest.mark.parametrize("written", [True, 1.5, None, "", "KiB", "64 kib", "64KB", "-1", "1KiB2", "x64KiB"])
def test_what_is_no_size(written: Any) -> None:
    """The message shows how one is written."""
    with pytest.raises(ValueError, match=r"^a size is a number of bytes, or like 64KiB or 32MiB$"):
        parse_size(written)


@pytest.mark.parametrize(
    "written",
    ["https://console.example.com", "http://localhost:5173", "https://[2001:db8::1]:8443", "http://127.0.0.1"],
)
def test_origins(written: str) -> None:
    """As browsers send them: scheme, host and maybe a port."""
    assert parse_origin(written) == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        "*",
        "null",
        "ftp://a.example",
        "https://",
        "https://a.example/",
        "https://A.example",
        "HTTPS://a.example",
        "https://a.example:",
        "https://a.example:123456",
        "https://user@a.example",
        "https://[2001:DB8::1]",
        "https://a.example\n",
    ],
)
def test_what_is_no_origin(written: str) -> None:
    """What a browser would never send would never match, so it is refused where it is written."""
    with pytest.raises(ValueError, match=r"^an origin is like https://console\.example\.com: lower case"):
        parse_origin(written)


@pytest.mark.parametrize(
    "written",
    [
        "https://flows.example.com",
        "http://Flows.Example.com:8080",
        "https://flows.example.com/behind/a-proxy/v1.2/~me_",
        "https://[2001:DB8::a]:8443/",
    ],
)
def test_addresses_of_servers(written: str) -> None:
    """In any case, maybe with a path."""
    assert parse_address(written) == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        "flows.example.com",
        "ftp://a.example",
        "https://a.example:123456",
        "https://user:word@a.example",
        "https://a.example?x=1",
        "https://a.example/#x",
        "https://a.example/\u00e9",
        "https://a.example/ x",
    ],
)
def test_what_is_no_address(written: str) -> None:
    """A user, a query or a letter that is not ASCII has no place in the address of a server."""
    with pytest.raises(ValueError, match=r"^an address is like https://flows\.example\.com: with http or https"):
        parse_address(written)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_250_947_123, "2026-11-21T08:49:07.123Z"),
        (1_795_250_947_000, "2026-11-21T08:49:07.000Z"),
    ],
)
def test_moments_as_others_read_them(moment: int, text: str) -> None:
    """RFC 3339 in UTC, always with milliseconds, and read back as the same moment."""
    assert iso_time(moment) == text
    assert parse_time(text) == moment
    assert day_of(moment) == text[: len("2026-11-21")]


def test_a_moment_may_be_of_any_time_zone() -> None:
    """What counts is the moment; what is finer than a millisecond is cut."""
    assert parse_time("1970-01-01T02:00:01.234567+02:00") == 1_234


@pytest.mark.parametrize(
    ("text", "words"),
    [("2030-01-31T09:00:00", "^a moment needs a time zone, like 2030-01-31T09:00:00Z$"), ("soon", "Invalid isoformat")],
)
def test_what_is_no_moment(text: str, words: str) -> None:
    """A time without its zone is another moment for everybody who reads it."""
    with pytest.raises(ValueError, match=words):
        parse_time(text)
