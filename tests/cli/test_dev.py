"""What `flowrunner dev` makes of the settings."""

from __future__ import annotations

import pytest
from flowrunner.cli.dev import with_address
from flowrunner.settings import load_settings


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"FLOWRUNNER_API__HOST": "localhost", "FLOWRUNNER_API__PORT": "9000"}, "http://localhost:9000"),
        ({"FLOWRUNNER_PUBLIC_URL": "https://tunnel.example"}, "https://tunnel.example"),
        ({"FLOWRUNNER_API__HOST": "0.0.0.0"}, None),
        ({"FLOWRUNNER_API__PORT": "0"}, None),
    ],
)
def test_urls_of_hooks_and_callbacks_are_those_of_this_machine(environ: dict[str, str], address: str | None) -> None:
    """Unless a setting says how the server is reached, or nobody knows that beforehand."""
    assert with_address(load_settings(environ)).settings.public_url == address
