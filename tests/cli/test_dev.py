"""What `flowrunner dev` makes of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowrunner.cli.dev import folder_of_flows, with_address
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


def test_the_flows_of_a_new_folder_are_loaded(tmp_path: Path) -> None:
    """What `flowrunner init` makes is what `dev` loads; where there is no such folder, the examples."""
    assert folder_of_flows(tmp_path) == tmp_path / "examples"
    (tmp_path / "flows").mkdir()
    assert folder_of_flows(tmp_path) == tmp_path / "flows"
