"""`scripts/aws-local`: the whole of the deployment on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.e2e.client import Place, Team
from tests.e2e.door import SOCKET, Door
from tests.e2e.emulator import Emulator
from tests.e2e.installation import deploy
from tests.e2e.pythons import CACHE, ROOT, NotInstallable

STAGE = "local"
USER = "local"
FOLDER = CACHE / "aws-local"


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        with ExitStack() as stack:
            _run(options, stack)
    except KeyboardInterrupt:
        print("stopped")
        return 0
    except (NotInstallable, RuntimeError, OSError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/aws-local",
        description="Start the emulator of AWS, deploy the stacks to it, and keep both until Ctrl-C.",
        epilog="All of it is forgotten at the end: flows, runs and accounts live in the emulator.",
    )
    parser.add_argument("--port", type=int, default=4566, help="of the emulator, for AWS_ENDPOINT_URL (default: 4566)")
    parser.add_argument("--api-port", type=int, default=8080, help="of the service (default: 8080)")
    parser.add_argument("--context", "-c", action="append", default=[], metavar="KEY=VALUE", help="for the stacks")

    return parser.parse_args()


def _stop(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(options: argparse.Namespace, stack: ExitStack) -> None:
    begun = time.monotonic()
    door = stack.enter_context(Door(options.api_port))
    print("starting the emulator", flush=True)
    emulator = stack.enter_context(Emulator(FOLDER, options.port))
    print(f"deploying the stacks; the emulator's log is {emulator.log.relative_to(ROOT)}", flush=True)
    known = {"FLOWRUNNER_LIVE__PUBLIC_SOCKET_URL": f"{door.url.replace('http', 'ws', 1)}{SOCKET}"}
    settings = {
        "public_url": door.url,
        "environment": json.dumps(known),
        **dict(pair.split("=", 1) for pair in options.context),
    }
    installation = deploy(emulator, None, STAGE, settings)
    door.opens_to(installation.api, installation.socket)
    team, password = _account(door.url)
    loaded = _load_examples(team)
    team.close()
    print(
        f"""
ready after {time.monotonic() - begun:.0f} s, with {loaded} flows from examples/

  API         {door.url}            ({installation.api})
  WebSocket   {known["FLOWRUNNER_LIVE__PUBLIC_SOCKET_URL"]}     ({installation.socket})
  AWS         AWS_ENDPOINT_URL={emulator.url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

  log in      echo {password} | flowrunner login --server {door.url} --username {USER} --profile aws-local
              flowrunner --help; then, say, flowrunner run ports --input name="Ada Lovelace"
  or          export FLOWRUNNER_SERVER={door.url} FLOWRUNNER_TOKEN={team.token}

Ctrl-C stops all of it.""",
        flush=True,
    )
    signal.pause()


def _account(url: str) -> tuple[Team, str]:
    """The first account, by sign-up."""
    password = secrets.token_urlsafe(12)
    team = Team(Place(url, url), USER)
    team.sign_up(password)
    return team, password


def _load_examples(team: Team) -> int:
    files = sorted((ROOT / "examples").glob("*.yaml"))
    for file in files:
        team.flow(Path(file).read_text())
    return len(files)


if __name__ == "__main__":
    os.environ.pop("E2E_API", None)
    sys.exit(main())
