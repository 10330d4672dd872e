"""Outbound webhooks on an engine of the tests: its worker, relay and sender run in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from flowrunner.adapters.egress import Guard
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.core.ids import RunId
from flowrunner.ports.backend import Backend
from flowrunner.ports.cipher import KeyRing
from flowrunner.ports.http import HttpRequest, HttpResponse, HttpStream
from flowrunner.services.audit import Audit
from flowrunner.services.deliveries import Delivery
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.outbound import Outbound, make_outbound
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.webhooks import NewWebhook, WithKey
from flowrunner.settings import WebhookSettings

from tests.engine.harness import ACCOUNT, Bench, bench, flow

OWNER = Actor(ACCOUNT, "ann", PERMISSIONS[Role.OWNER])
VIEWER = Actor(ACCOUNT, "vic", PERMISSIONS[Role.VIEWER])
URL = "https://receiver.example.com/hook"

Answer = Callable[[HttpRequest], HttpResponse]

DAY = 86_400_000
DONE = flow("a: {type: transform}")


def answering(*statuses: int, **headers: str) -> Answer:
    """One status after the other, the last one for ever."""
    left = list(statuses)

    def answer(request: HttpRequest) -> HttpResponse:
        status = left.pop(0) if len(left) > 1 else left[0]
        return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"said")

    return answer


def headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


class Receiver:
    """An HTTP client that answers by itself and keeps what it was sent. See `ports.http.HttpClient`."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.requests: list[HttpRequest] = []
        self.answer: Answer = answer or (lambda request: HttpResponse(200, url=request.url))

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self.answer(request)

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        answer = self.send(request)
        return nullcontext(HttpStream(answer.status, answer.headers, iter([answer.content]), answer.url))

    def close(self) -> None:
        """Nothing is kept."""


class Here(Executor):
    """Runs what it is given at once, in the caller's thread; with `hold` when the test says so."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[Callable[[], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.hold:
            self.held.append(lambda: fn(*args, **kwargs))
        else:
            fn(*args, **kwargs)
        return Future()

    def release(self) -> None:
        """Run what is held."""
        held, self.held = self.held, []
        for work in held:
            work()


class UrlCheck:
    """Looks at URLs when they are saved, with the guard that a test gives; without one all are fine."""

    def __init__(self) -> None:
        self.guard: Guard | None = None

    def __call__(self, url: str) -> None:
        if self.guard is not None:
            self.guard.check(url)


@dataclass
class Post:
    """A bench with outbound webhooks."""

    bench: Bench
    out: Outbound
    audit: Audit
    receiver: Receiver
    executor: Here
    keys: KeyRing
    check: UrlCheck

    def webhook(self, *events: str, url: str = URL, **wish: Any) -> WithKey:
        return self.out.webhooks.create(OWNER, NewWebhook(url, events or ("run.completed",), **wish))

    def now(self) -> int:
        return self.bench.clock.now()

    def turn(self, by: int) -> None:
        self.bench.clock.turn_to(self.now() + by)

    def pass_on(self) -> None:
        """One round of the relay and of the sender."""
        self.out.relay.sweep()
        self.out.sender.send()

    def settle(self, until: int) -> None:
        """Turn the clock from try to try, up to `until`."""
        while (due := self.out.sender.send()) is not None and due <= until:
            self.bench.clock.turn_to(due)

    def run(self, document: str, value: Any = None) -> RunId:
        """A run to its end, told to whom it concerns."""
        run = self.bench.start(document, value)
        self.bench.work()
        self.pass_on()
        return run

    def to(self, endpoint: str) -> list[Delivery]:
        """The deliveries to an endpoint, the oldest first."""
        return list(reversed(self.out.deliveries.list(OWNER, endpoint)))

    def only(self, endpoint: str) -> Delivery:
        found = self.to(endpoint)
        assert len(found) == 1, found
        return found[0]

    def acts(self) -> list[str]:
        return [record.action for record in self.audit.list(OWNER, after=0).records]

    def relays(self) -> int:
        return len(self.bench.engine.parts.backend.entities.list(ACCOUNT, "relay", self.now()))


@contextmanager
def post(
    answer: Answer | None = None,
    *,
    http: Any = None,
    limits: dict[str, Any] | None = None,
    beside: Post | None = None,
    backend: Backend | None = None,
    **options: Any,
) -> Iterator[Post]:
    """A bench whose outbound webhooks are answered by `answer`, or sent by the client `http`.

    With `beside` it is another process with the same keys, on the same store unless told, with a clock of its own.
    """
    receiver, executor, check = Receiver(answer), Here(), UrlCheck()
    if beside is not None:
        backend = backend or beside.bench.engine.parts.backend
    keys = beside.keys if beside is not None else MemoryKeyRing()
    with bench(backend, http=http or receiver, **options) as b:
        parts = b.engine.parts
        audit = Audit(parts.backend.entities, b.clock)
        box = SecretBox(parts.backend.entities, keys, b.clock)
        out = make_outbound(
            b.engine,
            box,
            audit,
            check,
            WebhookSettings.model_validate(limits or {}),
            executor=executor,
        )
        yield Post(b, out, audit, receiver, executor, keys, check)


__all__ = ["OWNER", "URL", "VIEWER", "Here", "Post", "Receiver", "post"]
