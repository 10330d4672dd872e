"""Many processes in one, one at a time: whoever runs holds the baton, and a seed decides who is given it next.

Each task has a thread of its own, of which exactly one runs. It gives the baton away where the real program would wait
or could be interrupted: at each call of a store, for a queue or an event, for time to pass. When nobody can go on, time
does: the clock jumps to what comes next. So an execution is a function of its seed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from heapq import heappop, heappush
from typing import ClassVar

from flowrunner.core.ids import Millis
from flowrunner.testing import TurnedClock


class Killed(BaseException):
    """The process is gone. Nothing in it may catch this."""


class Host:
    """A thread that executes one task after the other: making threads takes longer than most tasks do."""

    idle: ClassVar[list[Host]] = []

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.go.acquire()
        self.work: Callable[[], None] = lambda: None
        thread = threading.Thread(target=self._serve, name="simulated", daemon=True)
        thread.start()
        assert thread.ident is not None, "it was started"
        self.ident = thread.ident

    @classmethod
    def take(cls) -> Host:
        return cls.idle.pop() if cls.idle else cls()

    def _serve(self) -> None:
        while True:
            self.go.acquire()
            self.work()


class Task:
    """Something that runs. `process` is whose it is: with that it dies."""

    def __init__(self, name: str, process: object, host: Host) -> None:
        self.name = name
        self.process = process
        self.host = host
        self.doom: type[BaseException] | None = None
        self.over = False
        self.parked = 0
        """Counts the times that it was parked: a timer of an earlier time wakes nobody."""
        self.waiting = False


class Baton:
    """See the module. `switches` of 100 chances to hand the baton on are taken."""

    def __init__(self, chance: random.Random, clock: TurnedClock, switches: int = 50) -> None:
        self.clock = clock
        self.chance = chance
        self.switches = switches
        self.turns = 0
        self.failure: BaseException | None = None
        self._ready: list[Task] = []
        self._doomed: list[Task] = []
        self._timers: list[tuple[Millis, int, Task, int]] = []
        self._count = 0
        self._tasks: dict[int, Task] = {}
        self._done = threading.Lock()
        self._done.acquire()

    # -- from outside -----------------------------------------------------------------------------------------------

    def run(self, limit: int = 2_000_000) -> None:
        """Let all tasks run until none is left. Raises the first failure that was reported."""
        self._limit = limit
        first = self._next()
        assert first is not None, "there is nothing to run"
        first.host.go.release()
        self._done.acquire()
        if self.failure is not None:
            raise self.failure

    def spawn(self, name: str, work: Callable[[], None], process: object) -> Task:
        """A new task; it runs when it is given the baton."""
        host = Host.take()
        task = Task(name, process, host)
        self._tasks[host.ident] = task
        host.work = lambda: self._live(task, work)
        self._ready.append(task)
        return task

    # -- from tasks -------------------------------------------------------------------------------------------------

    @property
    def me(self) -> Task:
        return self._tasks[threading.get_ident()]

    def of(self, ident: int) -> Task | None:
        """The task that a thread runs."""
        return self._tasks.get(ident)

    def pause(self) -> None:
        """Somebody else may go on now."""
        me = self.me
        if me.doom is not None:
            raise me.doom
        if self.chance.randrange(100) < self.switches:
            self._ready.append(me)
            self._pass_on(me)

    def park(self, until: Millis | None = None) -> None:
        """Wait to be woken, or for a moment."""
        me = self.me
        if me.doom is not None:
            raise me.doom
        me.parked += 1
        me.waiting = True
        if until is not None:
            self._count += 1
            heappush(self._timers, (until, self._count, me, me.parked))
        self._pass_on(me)

    def sleep(self, millis: Millis) -> None:
        self.park(self.clock.now() + millis)

    def wake(self, task: Task) -> None:
        if task.waiting and not task.over:
            task.waiting = False
            self._ready.append(task)

    def doom(self, task: Task, error: type[BaseException]) -> None:
        """Raise an error in a task, before anything else happens."""
        if task.over or task.doom is not None:
            return
        task.doom = error
        if task is not self.me:
            task.waiting = False
            if task in self._ready:
                self._ready.remove(task)
            self._doomed.append(task)

    def kill(self, process: object) -> None:
        """End all tasks of a process."""
        for task in [one for one in self._tasks.values() if one.process is process]:
            task.doom = None  # whatever was to be raised in it
            if task in self._doomed:
                self._doomed.remove(task)
            self.doom(task, Killed)

    def stop(self) -> None:
        """End everything."""
        for task in [*self._tasks.values()]:
            if task.process is not self.me.process:
                self.doom(task, Killed)

    def fail(self, error: BaseException) -> None:
        """Something has happened that must not: end everything, and let nobody catch that."""
        self.failure = self.failure or error
        self._end_all()
        raise Killed

    # -- how --------------------------------------------------------------------------------------------------------

    def _pass_on(self, me: Task) -> None:
        chosen = self._next()
        assert chosen is not None, "everybody waits for ever"
        if chosen is not me:
            chosen.host.go.release()
            me.host.go.acquire()
        if me.doom is not None:
            raise me.doom

    def _next(self) -> Task | None:
        self.turns += 1
        if self._doomed:
            return self._doomed.pop(0)
        if self.turns > self._limit and self.failure is None:
            raise AssertionError("this goes on for ever")
        if not self._ready:
            self._turn()
        if not self._ready:
            return None
        return self._ready.pop(self.chance.randrange(len(self._ready)))

    def _turn(self) -> None:
        """Let time pass until somebody can go on."""
        while self._timers and not self._ready:
            moment = self._timers[0][0]
            self.clock.turn_to(moment)
            while self._timers and self._timers[0][0] <= moment:
                _, _, task, parked = heappop(self._timers)
                if task.waiting and task.parked == parked:
                    self.wake(task)

    def _live(self, task: Task, work: Callable[[], None]) -> None:
        try:
            if task.doom is None:
                work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # told to whoever runs the simulation, in the main thread
            self.failure = self.failure or error
        task.over = True
        del self._tasks[task.host.ident]
        if self.failure is not None:
            self._end_all()
        chosen = self._next()
        Host.idle.append(task.host)
        if chosen is None:
            self._done.release()
        else:
            chosen.host.go.release()

    def _end_all(self) -> None:
        mine = threading.get_ident()
        for other in self._tasks.values():
            other.doom, other.waiting = other.doom or Killed, False
        self._doomed, self._ready = [one for ident, one in self._tasks.items() if ident != mine], []
