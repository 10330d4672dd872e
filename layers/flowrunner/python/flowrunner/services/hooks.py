"""Inbound webhooks: a request is looked up, verified, recognised if it is a repetition, and starts a run.

    path → verified → depth → seen before? ──yes──▶ the run of then
                                    └──no──▶ body read → run started → remembered for 72 h

The run's id is derived from hook and message id, so two deliveries at the same moment start one run, and a process
that dies before it has remembered the message leaves a retry that starts nothing.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.core.status import TERMINAL, RunStatus
from flowrunner.core.times import day_of
from flowrunner.engine.children import MAX_DEPTH
from flowrunner.engine.engine import Engine
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.errors import Conflict, FlowrunnerError, NotFound, SecretMissing
from flowrunner.ports.entities import Entity
from flowrunner.ports.http import DEPTH_HEADER
from flowrunner.services.audit import Action, Audit
from flowrunner.services.hook_paths import Hook, HookPaths
from flowrunner.services.hook_values import SAFE_HEADERS, Answer, answer_of, fields_of, read_body, seen_headers
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.runs import RunService
from flowrunner.services.signatures import BadSignature, Received, unsigned_id, verify
from flowrunner.services.throttle import Throttle, address_key
from flowrunner.settings import HookSettings

MESSAGE_KIND = "hook.message"
REMEMBERED: Millis = 72 * 3_600_000
"""How long a message is known: longer than any sender tries again."""

_log = logging.getLogger(__name__)
_DEPTH = re.compile(r"[0-9]{1,4}", re.ASCII)


class WrongMethod(FlowrunnerError):
    """This hook is not called with this method."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this hook is called with {' or '.join(allowed)}")
        self.allowed = tuple(allowed)


@dataclass(frozen=True, slots=True)
class HookCall:
    """A request to a hook. Header names are in lower case, `query` is as it stands in the URL."""

    account: AccountId
    path: str
    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    address: str = ""
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that belongs to a run. With `sync` the answer is the run's, so its caller waits for the end."""

    account: AccountId
    run: RunId
    sync: bool
    correlation: str


class HookService:
    """See the module."""

    def __init__(
        self, engine: Engine, paths: HookPaths, runs: RunService, audit: Audit, settings: HookSettings
    ) -> None:
        self._engine = engine
        self._entities = engine.parts.backend.entities
        self._clock = engine.parts.clock
        self._paths = paths
        self._runs = runs
        self._audit = audit
        self._throttle = Throttle(self._clock, settings.per_minute) if settings.per_minute else None

    def list(self, actor: Actor, *, after: str | None = None, limit: int = 50) -> list[Hook]:
        """The hooks of the actor's account, by id."""
        require(actor, Permission.SCHEDULES_READ)
        return self._paths.list(actor.account, after=after, limit=limit)

    def url(self, hook: Hook) -> str:
        """Where the hook is called; without the setting `public_url` only the path."""
        return f"{self._base()}/hooks/{hook.account}/{hook.path}"

    # -- a request ----------------------------------------------------------------------------------------------

    def receive(self, call: HookCall) -> Accepted:
        """Take a request from anybody; the signature decides.

        Raises `NotFound` where there is no hook, `WrongMethod`, `BadSignature`, `Conflict` (flows that call each
        other too deep, or `concurrency`), `InvalidInput`, `TooManyRequests`.
        """
        hook = self._paths.find(call.account, call.path, call.method)
        if hook is None:
            others = self._paths.methods(call.account, call.path)
            raise WrongMethod(others) if others else NotFound()
        if self._throttle is not None:
            self._throttle.check(f"{hook.id}|{address_key(call.address)}").require("this hook is called too often")
        message = self._verified(hook, call)
        depth = _depth(call.headers)
        seen = self._seen(hook, message)
        run = seen or self._start(hook, call, message, depth)
        return Accepted(hook.account, run, hook.sync, call.correlation)

    def reply(self, accepted: Accepted) -> Answer:
        """The answer: of a `sync` hook the run's output when it has ended, else where to look."""
        row = self._engine.parts.backend.runs.load([(accepted.account, accepted.run)])[0]
        if not accepted.sync or row is None or row.status not in TERMINAL:
            where = f"{self._base()}/v1/runs/{accepted.run}"
            return _json(202, {"run_id": accepted.run, "status_url": where})
        run = self._engine.run(accepted.account, accepted.run)
        if run.status == RunStatus.COMPLETED.value:
            return answer_of(run.output)
        code = str((run.error or {}).get("code") or run.status.upper())
        error = {
            "code": "RUN_FAILED",
            "message": f"the run {run.status}: {code}",
            "details": {"run_id": accepted.run, "error_code": code},
            "correlation_id": accepted.correlation,
        }
        return _json(502, {"error": error})

    # -- how ----------------------------------------------------------------------------------------------------

    def _verified(self, hook: Hook, call: HookCall) -> str | None:
        """The message's id. Raises `BadSignature`."""
        received = Received(call.headers, call.body, self._clock.now())
        if hook.scheme is None:
            return unsigned_id(received)
        try:
            secret = self._engine.parts.secrets.read(hook.account, hook.secret or "")
        except SecretMissing:
            refused = BadSignature("config")  # closed without a key, and no word about why to strangers
        else:
            try:
                return verify(hook.scheme, secret, received, hook.header)
            except BadSignature as error:
                refused = error
        self._note(hook, call, refused.reason)
        raise refused

    def _note(self, hook: Hook, call: HookCall, reason: str) -> None:
        """Log a refusal, and put it into the audit log once a day: strangers must not be able to fill that."""
        about = {"account": hook.account, "flow": hook.flow, "correlation": call.correlation}
        _log.warning("hook %s %s refused a request: %s", hook.method, hook.path, reason, extra=about)
        self._audit.record_once(
            hook.account,
            f"hook:{hook.path}",
            Action.HOOK_REFUSED,
            f"{hook.method} {hook.path}",
            key=f"{hook.id}|{reason}|{day_of(self._clock.now())}",
            reason=reason,
            address=call.address,
            correlation=call.correlation,
        )

    def _seen(self, hook: Hook, message: str | None) -> RunId | None:
        if message is None:
            return None
        found = self._entities.get(hook.account, MESSAGE_KIND, _message_key(hook, message), self._clock.now())
        return RunId(orjson.loads(found.body)) if found is not None else None

    def _start(self, hook: Hook, call: HookCall, message: str | None, depth: int) -> RunId:
        value = self._input(hook, call)
        draws = self._engine.parts.draws
        run = self._runs.start_triggered(
            hook.account,
            hook.flow,
            value,
            RunId(draws.new_id()) if message is None else derived_run_id("hook", hook.account, hook.id, message),
            f"hook:{hook.path}",
            call.correlation,
            depth,
        )
        if message is not None:
            now = self._clock.now()
            entity = Entity(
                hook.account, MESSAGE_KIND, _message_key(hook, message), orjson.dumps(run), expires_at=now + REMEMBERED
            )
            self._entities.put(entity, now, expected_rev=0)
        return run

    def _input(self, hook: Hook, call: HookCall) -> Json:
        """What the run gets: what was sent if the flow says in `inputs` what it takes, else the whole request."""
        body = read_body(call.headers.get("content-type", ""), call.body)
        query = fields_of(call.query, "query")
        row = self._engine.parts.backend.flows.get(hook.account, hook.flow)
        if row is None:
            raise NotFound
        if self._engine.programs.get(hook.account, hook.flow, row.revision).flow.inputs is not None:
            return body if call.body else query
        return {
            "body": body,
            "headers": seen_headers(call.headers, hook.header),
            "query": query,
            "method": call.method,
            "path": call.path,
        }

    def _base(self) -> str:
        return (self._engine.parts.public_url or "").rstrip("/")


def _depth(headers: Mapping[str, str]) -> int:
    """How many runs have called each other to get here. Raises `Conflict` when they are too many."""
    text = headers.get(DEPTH_HEADER.lower(), "0").strip()
    depth = int(text) if _DEPTH.fullmatch(text) else MAX_DEPTH + 1
    if depth > MAX_DEPTH:
        raise Conflict(f"flows may call each other's hooks {MAX_DEPTH} levels deep", hint="do they call in a circle?")
    return depth


def _message_key(hook: Hook, message: str) -> str:
    return hashlib.sha256(f"{hook.id}|{message}".encode()).hexdigest()


def _json(status: int, value: Json) -> Answer:
    return Answer(status, orjson.dumps(value), {"content-type": "application/json", **SAFE_HEADERS})
