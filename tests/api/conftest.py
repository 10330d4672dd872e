"""One service for the tests of a module that do not mind what others have stored in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.harness import Service, service


@pytest.fixture(scope="module")
def api() -> Iterator[Service]:
    """The service with two teams, `acme` and `other`."""
    with service() as made:
        made.team("acme")
        made.team("other")
        yield made
