"""`flowrunner deploy`: from a checkout to a URL."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flowrunner.bootstrap import make_installer
from flowrunner.cli.checkout import find_checkout, read_context, synthesize
from flowrunner.cli.deploy_checks import check_bootstrap, check_concurrency
from flowrunner.cli.deploy_report import console, say, show_costs, show_happening, show_previews
from flowrunner.cli.exits import ExitCode
from flowrunner.cli.first_account import Made, make_first_account
from flowrunner.cli.remote.options import confirm
from flowrunner.cli.remote.output import print_json
from flowrunner.cli.remote.watching import INTERRUPTED
from flowrunner.errors import FlowrunnerError
from flowrunner.ports.installer import Installer, Outputs, Preview, Undertaking, losses, refused
from flowrunner.services.cloud_costs import Deployment as Standing
from flowrunner.services.cloud_costs import Load, month, total

CONSOLE = "build/console"
"""Where a built console is, unless the context names another folder."""
DOCS = "build/docs"

OTHER_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables that would win over a profile that is named by a variable, but not over one that is named by an option."""


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """The options of the command, as given."""

    stage: str
    preset: str | None
    region: str | None
    profile: str | None
    context: tuple[str, ...]
    settings: Path | None
    project: Path | None
    app: Path | None
    load: str
    owner: str | None
    account: str
    role: str
    bootstrap: bool
    allow_replacement: bool
    no_account: bool
    dry_run: bool
    yes: bool
    json: bool


def run_deploy(options: DeployOptions, wait: Callable[[float], object] | None = None) -> int:
    """Do it. Whatever interrupts it, the next call goes on from there. `wait` lets so many seconds pass."""
    load = Load.parse(options.load)
    installer = connect(options.region, options.profile, options.role, wait)
    try:
        return _Deploying(options, installer, load).run()
    except KeyboardInterrupt:
        say("interrupted: what CloudFormation has begun goes on; the same command waits for it and goes on from there")
        return INTERRUPTED


def connect(region: str | None, profile: str | None, role: str, wait: Callable[[float], object] | None) -> Installer:
    """The operator's AWS, also for programs that we start and the store that we open. Raises `ConfigurationError`."""
    out = console()
    # boto3 itself knows AWS_DEFAULT_REGION only; every other tool of AWS takes AWS_REGION first.
    known = region or os.environ.get("AWS_REGION")
    installer = make_installer(known, profile, role, lambda one: show_happening(one, out), say, wait)
    if profile:
        os.environ["AWS_PROFILE"] = profile
        for name in OTHER_CREDENTIALS:
            os.environ.pop(name, None)
    place = installer.place
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = place.region
    say(f"account {place.account}, {place.region}, as {installer.identity}")
    return installer


class _Deploying:
    """One call of the command, step by step."""

    def __init__(self, options: DeployOptions, installer: Installer, load: Load) -> None:
        self._options = options
        self._installer = installer
        self._load = load
        self._out = console()
        self._context = self._read_context()
        self._prefix = f"{self._context.get('name', 'flowrunner')}-{options.stage}"

    def run(self) -> int:
        options = self._options
        check_bootstrap(self._installer, say, wanted=options.bootstrap, yes=options.yes, dry_run=options.dry_run)
        undertaking = self._undertaking()
        check_concurrency(undertaking, say)
        previews = undertaking.preview()
        show_previews(previews, self._out)
        standing = replace(Standing(), alarms=undertaking.alarms)
        bill = month(self._load, standing)
        show_costs(bill, options.load, self._out)
        lost = losses([change for preview in previews if preview.exact for change in preview.changes])
        if lost and not options.allow_replacement:
            raise refused(lost)
        if options.dry_run:
            say("a dry run: nothing was changed")
            if options.json:
                print_json({"changes": [asdict(one) for one in previews], "month_usd": round(total(bill), 2)})
            return ExitCode.OK
        self._ask(previews)
        outputs = self._with_console(undertaking.deploy(allow_losses=options.allow_replacement))
        self._finish(outputs, self._first_account(outputs))
        return ExitCode.OK

    # -- what is deployed ---------------------------------------------------------------------------------------

    def _read_context(self) -> dict[str, Any]:
        options = self._options
        context = read_context(options.context, options.settings)
        context["stage"] = options.stage
        if options.preset or "preset" not in context:
            context["preset"] = options.preset or ("prod" if options.stage.startswith("prod") else "dev")
        return context

    def _undertaking(self) -> Undertaking:
        if self._options.app is not None:
            return self._installer.open(self._options.app)
        checkout = find_checkout(self._options.project)
        if "console" not in self._context and (checkout / CONSOLE / "index.html").is_file():
            self._context["console"] = str(checkout / CONSOLE)
        if "console" in self._context and "console_url" not in self._context and "console_domain" not in self._context:
            name = str(self._context.get("name", "flowrunner"))
            for stack in self._installer.deployed(name, self._options.stage):
                if "ConsoleUrl" in stack.outputs:
                    self._context["console_url"] = stack.outputs["ConsoleUrl"]
        return self._synthesized(checkout)

    def _synthesized(self, checkout: Path) -> Undertaking:
        say("synthesizing the stacks")
        folder = checkout / "build/cdk.out" / self._prefix
        synthesize(checkout, self._context, self._installer.place, folder)
        return self._installer.open(folder)

    def _ask(self, previews: list[Preview]) -> None:
        if any(preview.new or preview.changes for preview in previews):
            confirm(f"Deploy {self._prefix} to account {self._installer.place.account}?", yes=self._options.yes)

    # -- what comes after the stacks ----------------------------------------------------------------------------

    def _with_console(self, outputs: Outputs) -> Outputs:
        """Upload the console; after its first deployment, tell the API the origin that CloudFront gave it."""
        found = flat(outputs)
        folder = self._context.get("console")
        if "ConsoleBucket" not in found or not folder:
            return outputs
        self._installer.publish(Path(folder), found["ConsoleBucket"], found.get("DistributionId", ""), self._docs())
        if self._options.app is not None or self._context.get("console_url") or self._context.get("console_domain"):
            return outputs
        self._context["console_url"] = found["ConsoleUrl"]
        again = self._synthesized(find_checkout(self._options.project))
        return again.deploy(allow_losses=False)

    def _docs(self) -> Path | None:
        """The documents, if they were built; stacks that others have synthesized come without a checkout."""
        if self._options.app is not None:
            return None
        folder = find_checkout(self._options.project) / DOCS
        return folder if (folder / "index.html").is_file() else None

    def _first_account(self, outputs: Outputs) -> Made | None:
        options = self._options
        if options.no_account:
            return None
        owner = options.owner or getpass.getuser()
        try:
            return make_first_account(flat(outputs), options.account, owner)
        except FlowrunnerError as error:
            say(f"the first account was not made: {error}")
            say("see docs/deploying.md: `flowrunner admin create-account` makes it, with the store in hand")
            return None

    def _finish(self, outputs: Outputs, made: Made | None) -> None:
        found = flat(outputs)
        url = found.get("ConsoleUrl") or found.get("ApiUrl", "")
        if self._options.json:
            account = {"account": made.account, "owner": made.owner, "password": made.password} if made else None
            print_json(
                {"url": url, "outputs": {name: flat({name: one}) for name, one in outputs.items()}, "account": account}
            )
            return
        for name in ("ApiUrl", "WebSocketUrl", "ConsoleUrl", "DashboardUrl"):
            if name in found:
                print(f"{name:<14}{found[name]}")
        if made is not None:
            print(f"account       {made.account}, user {made.owner}, password {made.password}  (shown this once)")
            print(f"next          flowrunner login --server {found.get('ApiUrl', url)} --username {made.owner}")
        sys.stdout.flush()


def flat(outputs: Outputs) -> dict[str, str]:
    """The outputs of all stacks by name, without those that stacks only make for each other."""
    return {name: value for one in outputs.values() for name, value in one.items() if not name.startswith("Exports")}
