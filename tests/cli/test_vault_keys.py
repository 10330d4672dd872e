"""The key file as commands meet it: made at the first start, asked for when something is encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowrunner.bootstrap import LOCAL_ACCOUNT, make_engine, make_platform
from flowrunner.core.ids import AccountId
from flowrunner.engine.engine import Engine
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import ConfigurationError
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.settings import Settings

LOCAL = AccountId(LOCAL_ACCOUNT)
ACTOR = Actor(LOCAL, "tests", PERMISSIONS[Role.OWNER])
READS = 'metadata: {name: reads}\nnodes: {a: {type: transform, params: {value: "${secrets.A}"}}}\n'


def settings(folder: Path, **vault: str) -> Settings:
    return Settings.model_validate(
        {"store": {"url": f"sqlite:///{folder}/f.db"}, "vault": {"key_file": str(folder / "keys.json"), **vault}}
    )


def run(engine: Engine) -> str:
    """Run the flow that reads a secret; its status."""
    row = engine.save_flow(LOCAL, READS)
    run = engine.start(StartRequest(LOCAL, row.id, row.revision))
    engine.worker().drain()
    return engine.run(LOCAL, run).status


def test_a_server_makes_its_keys_and_finds_them_again(tmp_path: Path) -> None:
    """What one has encrypted the next one reads."""
    for _ in range(2):
        platform = make_platform(settings(tmp_path), {})
        assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
        platform.vault.put(ACTOR, "A", "a secret value")
        platform.close()
    engine = make_engine(settings(tmp_path), {})
    assert run(engine) == "completed"
    engine.close()


@pytest.mark.parametrize("make", [make_engine, make_platform])
def test_a_lost_key_file_stops_the_start(tmp_path: Path, make: object) -> None:
    """Rather than a new one being made, which would read nothing."""
    platform = make_platform(settings(tmp_path), {})
    platform.vault.put(ACTOR, "A", "a secret value")
    platform.close()
    (tmp_path / "keys.json").unlink()
    with pytest.raises(ConfigurationError, match="is missing, but the store has secrets"):
        make(settings(tmp_path), {})  # type: ignore[operator]  # from the list
    assert not (tmp_path / "keys.json").exists()


def test_a_key_file_that_others_may_read_stops_a_server(tmp_path: Path) -> None:
    """Before it listens."""
    make_platform(settings(tmp_path), {}).close()
    (tmp_path / "keys.json").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        make_platform(settings(tmp_path), {})


def test_without_a_secret_no_key_file_is_needed(tmp_path: Path) -> None:
    """An engine that encrypts nothing makes none; one that has to hide a value does."""
    engine = make_engine(settings(tmp_path), {})
    assert run(engine) == "failed"
    engine.close()
    assert not (tmp_path / "keys.json").exists()
    engine = make_engine(settings(tmp_path), {"FLOWRUNNER_SECRET_A": "from the environment"})
    assert run(engine) == "completed"
    engine.close()
    assert (tmp_path / "keys.json").exists()
    content = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert b"from the environment" not in content


def test_memory_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys go with it."""
    monkeypatch.chdir(tmp_path)
    engine = make_engine(Settings.model_validate({"store": {"url": "memory:"}}), {"FLOWRUNNER_SECRET_A": "value"})
    assert run(engine) == "completed"
    engine.close()
    assert list(tmp_path.iterdir()) == []
