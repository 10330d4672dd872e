"""What the tests of adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.http_clients import close_clients


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Close the HTTP clients of a test behind it."""
    yield
    close_clients()
