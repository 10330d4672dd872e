"""The doors between a simulated process and its stores: every call can be interrupted here, and can fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import StepError, StoreError
from flowrunner.ports.backend import Backend
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.ports.queue import Delivery, Receipt
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus, Commit

from tests.simulation.baton import Killed

if TYPE_CHECKING:
    from tests.simulation.outside import Outside
    from tests.simulation.process import Process

STORES = ("runs", "history", "queue", "flows", "blobs", "values", "callbacks", "documents", "entities")
CONDITIONAL = {"runs.commit"}
LATE: Millis = 2_000
FROZEN: Millis = 75_000
"""Longer than any lease."""


class Hints:
    """Who is told that there may be something to do. See `ports.wakeups.Wakeups`; the stores' own tell nobody here."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def listen(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        listeners = self._process.world.listeners
        place = (self._process, listener)
        listeners.append(place)

        def leave() -> None:
            if place in listeners:
                listeners.remove(place)

        return leave


class DoorBackend:
    """A process's view of a backend. See `ports.backend.Backend`."""

    def __init__(self, process: Process, backend: Backend) -> None:
        self.name = backend.name
        self.capabilities = backend.capabilities
        self.wakeups = Hints(process)
        for store in STORES:
            door = QueueDoor if store == "queue" else RunsDoor if store == "runs" else Door
            setattr(self, store, door(process, store, getattr(backend, store)))

    def close(self) -> None:
        """The world closes its stores."""


class Door:
    """A store behind its door."""

    def __init__(self, process: Process, store: str, target: Any) -> None:
        self._process = process
        self._store = store
        self._target = target

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._target, name)
        through, full = self._through, f"{self._store}.{name}"

        def call(*given: Any, **named: Any) -> Any:
            return through(full, lambda: made(*given, **named))

        self.__dict__[name] = call
        return call

    def _through(self, name: str, make: Callable[[], Any]) -> Any:
        process = self._process
        world = process.world
        if process.dead:
            raise Killed
        world.baton.pause()
        fate = process.sky.fate(name)
        match fate:
            case "dies before":
                process.die()
            case "fails":
                raise StoreError(f"{name} does not answer")
            case "refused" if name in CONDITIONAL:
                return None
            case "late":
                world.baton.sleep(1 + world.sky.draw(LATE))
            case "frozen" if world.functions:  # its time is over long before
                process.die()
            case "frozen":
                world.baton.sleep(FROZEN)
        answer = make()
        if fate == "dies after":
            process.die()
        if fate == "lost":
            raise StoreError(f"the answer to {name} is lost")
        world.baton.pause()
        return answer


class RunsDoor(Door):
    """The store of runs: what is granted and committed is seen by the world's witness."""

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        def make() -> Sequence[ClaimAnswer]:
            answers: Sequence[ClaimAnswer] = self._target.claim(requests)
            for request, answer in zip(requests, answers, strict=True):
                if answer.status is ClaimStatus.GRANTED:
                    self._process.world.witness.granted(self._process, request, answer.lease_until)
            return answers

        answers: Sequence[ClaimAnswer] = self._through("runs.claim", make)
        return answers

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        world = self._process.world

        def make() -> Sequence[bool]:
            applied: Sequence[bool] = self._target.commit(commits)
            for commit, won in zip(commits, applied, strict=True):
                if won:
                    world.witness.committed(commit)
            if any(commit.send for commit in commits):
                world.tell("queue")
            world.tell("runs")
            return applied

        answer: Sequence[bool] | None = self._through("runs.commit", make)
        return answer if answer is not None else [False] * len(commits)

    def create(self, *given: Any, **named: Any) -> Sequence[bool]:
        def make() -> Sequence[bool]:
            made: Sequence[bool] = self._target.create(*given, **named)
            self._process.world.tell("queue")
            return made

        created: Sequence[bool] = self._through("runs.create", make)
        return created

    def renew(self, claims: Any, owner: str, lease_until: Millis) -> None:
        def make() -> None:
            self._target.renew(claims, owner, lease_until)
            self._process.world.witness.renewed(claims, owner, lease_until)

        self._through("runs.renew", make)

    def let_go(self, claims: Any, owner: str) -> None:
        def make() -> None:
            self._target.let_go(claims, owner)
            self._process.world.witness.let_go(claims, owner)

        self._through("runs.let_go", make)


def _place(receipt: Receipt) -> tuple[str, str, str, int]:
    return receipt.account, receipt.run, receipt.step, receipt.attempt


class QueueDoor(Door):
    """A queue that loses what it has delivered until the lease ends, delivers things twice, and in any order."""

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        received: Sequence[Delivery] = self._through(
            "queue.receive", lambda: self._carried(self._target.receive(owner, now, lease_until, limit))
        )
        return received

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        def make() -> tuple[Sequence[Delivery], AccountId]:
            found, last = self._target.receive_in_turn(owner, now, lease_until, after, limit)
            return self._carried(found), last

        received: tuple[Sequence[Delivery], AccountId] = self._through("queue.receive_in_turn", make)
        return received

    def _carried(self, found: Sequence[Delivery]) -> list[Delivery]:
        """What arrives of what was received."""
        world, sky = self._process.world, self._process.sky
        # Each store has an order of its own for what became due at the same moment.
        ordered = sorted(found, key=lambda one: _place(one.receipt))
        kept = [one for one in ordered if not sky.percent(sky.weather.dropped)]
        stray, world.stray = world.stray, []
        world.stray = [one for one in kept if sky.percent(sky.weather.doubled)]
        kept += [replace(one, receives=1) for one in stray]
        if sky.percent(sky.weather.shuffled):
            for index in range(len(kept) - 1, 0, -1):
                other = sky.draw(index + 1)
                kept[index], kept[other] = kept[other], kept[index]
        return kept

    def send(self, messages: Any) -> None:
        self._telling("queue.send", lambda: self._target.send(messages))

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        self._telling("queue.release", lambda: self._target.release(receipts, due))

    def _telling(self, name: str, make: Callable[[], None]) -> None:
        def told() -> None:
            make()
            self._process.world.tell("queue")

        self._through(name, told)


class HttpDoor(Door):
    """The way to the world outside. See `ports.http.HttpClient`, of which webhooks need this much."""

    def __init__(self, process: Process, outside: Outside) -> None:
        super().__init__(process, "http", outside)

    def send(self, request: HttpRequest) -> HttpResponse:
        try:
            answer: HttpResponse = self._through("http.send", lambda: self._target.post(request))
        except StoreError as error:
            raise StepError(str(error), code="CONNECTION_FAILED", retryable=True) from error
        return answer
