"""Addresses of servers and pages as people write them."""

from __future__ import annotations

import re


def parse_origin(value: str) -> str:
    """An origin as browsers send it; never `*` or `null`. Raises `ValueError` with words for whoever wrote it."""
    if re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", value) is None:
        raise ValueError("an origin is like https://console.example.com: lower case, with no path, and never *")
    return value


def parse_address(value: str) -> str:
    """The address of a server, maybe with a path. Raises `ValueError` with words for whoever wrote it."""
    if re.fullmatch(r"https?://(\[[0-9A-Fa-f:]+\]|[0-9A-Za-z.-]+)(:[0-9]{1,5})?(/[\w.~/-]*)?", value, re.ASCII) is None:
        raise ValueError("an address is like https://flows.example.com: with http or https, and no user")
    return value
