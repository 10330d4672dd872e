"""`flowrunner dev`: everything on one machine, with its activity in the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import settings_for
from flowrunner.cli.exits import ExitCode, read_flow_file
from flowrunner.cli.lines import reason
from flowrunner.cli.server import serving
from flowrunner.core.durations import format_duration
from flowrunner.core.ids import AccountId
from flowrunner.engine.engine import Engine
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import RunRow
from flowrunner.services.accounts import Owner
from flowrunner.services.identity import Actor, Permission, trigger_actor
from flowrunner.services.platform import Platform
from flowrunner.settings import Loaded, masked
from flowrunner.telemetry.logs import configure_logging

ACCOUNT = AccountId(LOCAL_ACCOUNT)
USER = "dev"
LOGIN_FILE = ".flowrunner/dev-password"
LOOPBACK = ["127.0.0.0/8", "::1", "localhost"]


def run_dev(
    store: str | None,
    flows: Path | None,
    host: str | None,
    port: int | None,
    secrets_file: Path | None,
    config_file: Path | None,
) -> ExitCode:
    """Load the flows of a folder, serve the store, show what happens; until Ctrl-C."""
    loaded = settings_for(config_file, store=store, secrets_file=secrets_file, allow=LOOPBACK, host=host, port=port)
    loaded = with_address(loaded)
    log = loaded.settings.log
    # What happens is shown below; unless somebody asks for more, the log says what is wrong.
    configure_logging(log if "log.level" in loaded.sources else log.model_copy(update={"level": "warning"}))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serving(loaded) as (platform, server):
        password = _login(platform, Path(LOGIN_FILE))
        actor = trigger_actor(ACCOUNT, "dev")
        platform.flows.adopt(ACCOUNT, "dev")
        folder = flows or folder_of_flows(Path())
        count = _load(platform, replace(actor, permissions=frozenset(Permission)), folder)
        url = masked(loaded.settings.store.url)
        print(f"flowrunner dev on {server.url}: store {url}, {count} flows from {folder}/", file=sys.stderr)
        print(f"user {USER}, password {password}  (kept in {LOGIN_FILE})", file=sys.stderr)
        print("flows may reach this machine's own addresses (127.0.0.0/8, ::1), unlike in production", file=sys.stderr)
        print(f"from another terminal:  flowrunner login --server {server.url} --username {USER}", file=sys.stderr)
        Activity(platform.engine).follow(stop)
    return ExitCode.OK


def with_address(loaded: Loaded) -> Loaded:
    """With this machine's address as what URLs of hooks and callbacks begin with, unless a setting says another."""
    settings = loaded.settings
    if settings.public_url is not None or not settings.api.port or settings.api.host not in {"127.0.0.1", "localhost"}:
        return loaded
    address = f"http://{settings.api.host}:{settings.api.port}"
    return loaded.model_copy(update={"settings": settings.model_copy(update={"public_url": address})})


def folder_of_flows(here: Path) -> Path:
    """`flows`, as `flowrunner init` makes it, or `examples`, as this project has it."""
    return here / ("flows" if (here / "flows").is_dir() else "examples")


def _login(platform: Platform, file: Path) -> str:
    """The password of the user who is there for development, made at the first start and kept in a file."""
    password = file.read_text("utf-8").strip() if file.exists() else ""
    fresh = not password
    if fresh:
        password = platform.engine.parts.draws.token()[:20]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(password + "\n", "utf-8")
    made = platform.accounts.bootstrap(ACCOUNT, "Local", Owner(USER, password))
    if fresh and not made:  # the file was lost
        platform.users.reset_password(USER, password)
    return password


def _load(platform: Platform, actor: Actor, folder: Path) -> int:
    """Save the flows of a folder; one that is not valid is named and left out."""
    count = 0
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            saved = platform.flows.save(actor, read_flow_file(file).decode("utf-8", "replace"))
        except (InvalidInput, Conflict) as error:
            print(f"{file}: {error}", file=sys.stderr)
            continue
        count += 1
        print(f"  {saved.record.name} (revision {saved.row.revision})", file=sys.stderr)
    return count


class Activity:
    """Prints a line whenever a run of the store starts, waits or ends, whichever process works on it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Event()
        self._seen: dict[str, str] = {row.id: row.status for row in self._recent()}

    def follow(self, stop: threading.Event) -> None:
        leave = self._engine.parts.backend.wakeups.listen(lambda topic: self._changed.set())
        try:
            while not stop.is_set():
                if self._changed.wait(0.5):
                    self._changed.clear()
                    self._show()
        finally:
            leave()

    def _recent(self) -> Sequence[RunRow]:
        return self._engine.parts.backend.history.runs(ACCOUNT, RunFilter(limit=100))

    def _show(self) -> None:
        for row in reversed(self._recent()):
            if self._seen.get(row.id) == row.status:
                continue
            self._seen[row.id] = row.status
            took = f"  {format_duration(row.ended_at - row.created_at)}" if row.ended_at else ""
            result = self._engine.run(ACCOUNT, row.id)
            why = f"  {reason(result.error)}" if result.error else ""
            print(f"{row.id}  {row.flow_name}  {row.status}{took}{why}", file=sys.stderr)
