"""One server for all tests of a process; each test has an account, a home and a logged-in user of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.remote.server import Running, Terminal, log_in, running


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """A server that closes when all tests are done."""
    with running() as made:
        yield made


@pytest.fixture
def terminal(server: Running, tmp_path: Path) -> Terminal:
    """The terminal of the owner of a new account."""
    return log_in(tmp_path, server, server.owner())


@pytest.fixture
def stranger(tmp_path: Path) -> Terminal:
    """A terminal that knows no server."""
    return Terminal(tmp_path)
