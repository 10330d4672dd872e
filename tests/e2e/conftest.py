"""An installation to accept, one for all test processes together, and two accounts of it.

With E2E_API and E2E_SOCKET set, the tests that need nothing but HTTP accept the service that is there: a stage on AWS,
say. E2E_KEEP names a folder for the emulator's logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Place, Team, fresh
from tests.e2e.evidence import Evidence
from tests.e2e.keeper import CannotInstall, installed


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """The stacks on the emulator. In the end nothing was delivered twice, and no dead letter was there, but for what
    the tests have poisoned.
    """
    if "E2E_API" in os.environ:
        pytest.skip("the installation that E2E_API names is looked at from outside only")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(os.environ.get("E2E_KEEP", shared)) / "e2e"
    try:
        with installed(folder) as installation:
            found = Evidence(installation, folder)
            yield found
            found.check()
    except CannotInstall as why:
        pytest.skip(f"no emulator: {why}")


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Place:
    """Where the service is."""
    if "E2E_API" in os.environ:
        return Place(os.environ["E2E_API"], os.environ["E2E_SOCKET"])
    there: Evidence = request.getfixturevalue("evidence")
    return Place(there.installation.api, there.installation.socket)


def made(place: Place, name: str) -> Iterator[Team]:
    team = Team(place, fresh(name))
    try:
        team.sign_up()
        yield team
    finally:
        team.close()


@pytest.fixture(scope="session")
def team(place: Place) -> Iterator[Team]:
    """An account of these tests alone."""
    yield from made(place, "acceptance")


@pytest.fixture(scope="session")
def other(place: Place) -> Iterator[Team]:
    """Somebody else."""
    yield from made(place, "stranger")
