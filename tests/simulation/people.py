"""People: each starts a run through the API's services, acts on it, and asks again when no answer comes."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import TYPE_CHECKING, TypeVar

from flowrunner.core.ids import FlowId, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.errors import Conflict, FlowrunnerError, NotFound, StoreError
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.platform import Platform
from flowrunner.services.runs import StartWish

from tests.simulation.process import Gone, Process
from tests.simulation.scenes import Wish
from tests.simulation.stand_ins import SimulatedQueue

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 10.0
"""Seconds after which somebody asks again; what was asked first may still be under way."""

T = TypeVar("T")


def owner(account: str, name: str = "owner") -> Actor:
    return Actor(account, name, PERMISSIONS[Role.OWNER])  # type: ignore[arg-type]  # an account of the scene


class Person:
    """See the module. `server` asks the processes that have workers, else there are some for the API alone."""

    def __init__(self, world: World, name: str, *, server: bool) -> None:
        self.world = world
        self.name = name
        self._server = server
        self._process = Process(world, name, mortal=False)

    def live(self, number: int, wish: Wish) -> None:
        """From the start of a run to the last act on it."""
        world = self.world
        actor = owner(wish.account, self.name)
        world.baton.sleep(wish.after + 1)
        request = StartWish(FlowId(wish.flow), labels={"wish": str(number)}, idempotency_key=f"wish-{number}")
        run = self.insist(lambda platform: platform.runs.start(actor, request))
        world.started(wish, number, run)
        for act, after in wish.acts:
            world.baton.sleep(after + 1)
            match act:
                case "again":
                    again = self.insist(lambda platform: platform.runs.start(actor, request))
                    world.witness.same_run(number, run, again)
                case "cancel":
                    if self.try_to(lambda platform: platform.runs.cancel(actor, run)):
                        self._cancelled(wish, run)
                case "redrive":
                    self.try_to(lambda platform: platform.runs.redrive(actor, run))

    def _cancelled(self, wish: Wish, run: RunId) -> None:
        row = self.world.backend.runs.load([(wish.account, run)])[0]
        if row is not None and row.status in TERMINAL:  # else somebody has redriven it already
            self.world.witness.cancel_answered(run)

    def try_to(self, act: Callable[[Platform], object]) -> bool:
        """Do it until an answer comes; whether it was done (now)."""
        try:
            self.insist(act)
        except (Conflict, NotFound):
            return False
        return True

    def insist(self, act: Callable[[Platform], T]) -> T:
        """Do it until an answer comes that is not the store's trouble."""
        while True:
            try:
                return self._ask(act)
            except StoreError:
                self.world.baton.sleep(1_000)
            except Gone:
                self._process = Process(self.world, self.name, mortal=False)
                self.world.baton.sleep(1_000)

    def _ask(self, act: Callable[[Platform], T]) -> T:
        """Have a process of the API do it. Raises `Gone` when no answer comes."""
        server = self.world.any_server() if self._server else None
        if server is None:
            return act(self._process.platform)
        answers = SimulatedQueue(self.world.baton)

        def serve() -> None:
            try:
                answers.put((act(server.platform), None))
            except FlowrunnerError as error:
                answers.put((None, error))

        self.world.baton.spawn(f"{server.name}-api", serve, server)
        try:
            value, error = answers.get(PATIENCE)
        except Empty:
            raise Gone from None
        if error is not None:
            raise error
        answer: T = value
        return answer
