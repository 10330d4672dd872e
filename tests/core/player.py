"""Plays a game: a run from its start to its end, by random moves."""

from __future__ import annotations

from dataclasses import fields, replace
from zlib import crc32

from flowrunner.core.decide import Rejected

from tests.core.harness import Run
from tests.core.records import Act, Fact, Item
from tests.core.strategies import Game

MAX_MOVES = 3_000


class Player:
    """Plays a game to its end. Core and model are compared at every move (see `Run.happen`)."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.run = Run(game.flow, slot="key" if game.slot else None, parent=game.parent)
        self.past: list[Fact] = []
        self.redrives = 0
        self.rejected = 0

    def play(self) -> Run:
        """Asserts that the run ends, and that it takes nothing any more then. Answers the run."""
        try:
            return self._play()
        except AssertionError as failure:
            failure.add_note("what had happened:\n" + "\n".join(map(_told, self.past[-20:])))
            raise

    def _play(self) -> Run:
        run, moves = self.run, list(self.game.moves)
        self._try(Fact("queue" if self.game.slot and moves and moves[0] % 2 else "start"))
        for _ in range(MAX_MOVES):
            move = moves.pop(0) if moves else 0
            if run.state.status.over:
                if not run.model.settling and not (moves and self.redrives < 3):
                    break
                self._after_the_end(move)
            else:
                self._move(move)
        else:
            raise AssertionError(f"the run has not ended after {MAX_MOVES} moves")
        for fact in self.past:
            if fact.kind != "redrive":
                self._try(fact, must_be_rejected=True)
        return run

    def _try(self, fact: Fact, *, must_be_rejected: bool = False) -> None:
        try:
            self.run.happen(fact)
        except Rejected:
            self.rejected += 1
            return
        except AssertionError as failure:
            failure.add_note(f"while told {_told(fact)} at {self.run.now} with {self.run.draw}")
            raise
        assert not must_be_rejected, f"{fact} was accepted by a run that is over"
        self.past.append(fact)

    def _move(self, move: int) -> None:
        run, special, pick = self.run, move % 32, move // 32
        run.draw = (pick % 8) / 8
        run.now += (pick % 5) * 40
        if run.status == "queued":
            self._try(Fact("cancel" if special == 31 else "grant"))
        elif special >= 32 - self.game.trouble:
            self._trouble(31 - special, pick)
        else:
            self._go_on(pick)

    def _go_on(self, pick: int) -> None:
        """The next thing that was to happen happens."""
        steps = self.run.model_steps()
        act, item = steps[pick % len(steps)]
        fact = self._outcome(act, item)
        one = item or act
        if fact.kind == "timer":
            self.run.now = max(self.run.now, one.due)
        self._try(fact)

    def _trouble(self, which: int, pick: int) -> None:
        """Something out of order: mostly events that have to be rejected."""
        run, steps = self.run, self.run.model_steps()
        act, item = steps[pick % len(steps)]
        outcome = self._outcome(act, item)
        if which in (0, 1):
            self._try(self.past[pick % len(self.past)])
        elif which == 2:
            self._try(replace(outcome, attempt=outcome.attempt + (1 if pick % 2 else -1)))
        elif which == 3:
            kinds = ("succeed", "fail", "skip", "expand", "wait", "signal", "signal_error", "timer")
            self._try(replace(outcome, kind=kinds[pick % len(kinds)], code="E", count=pick % 3))
        elif which == 4:
            if run.model.deadline and pick % 2:
                run.now = max(run.now, run.model.deadline)
            self._try(Fact("deadline"))
        elif which == 5:
            self._try(replace(outcome, uid=pick % (len(run.model.acts) + 1), index=pick % 4 - 1))
        elif which == 6:
            self._try(Fact("cancel"))
        else:
            self._try(Fact(("start", "grant", "settle", "redrive", "output_failed")[pick % 5], code="OUT"))

    def _after_the_end(self, move: int) -> None:
        special, pick = move % 32, move // 32
        self.run.now += 10
        if special % 2 or self.run.model.settling:
            self._try(Fact("settle") if special % 4 < 3 else Fact("cancel"))
        elif self.past and special % 8 == 0:
            self._try(self.past[pick % len(self.past)])
        else:
            names = list(self.game.flow.nodes)
            node = names[pick % len(names)] if special % 8 == 2 else None
            if self.redrives < 3:
                self._try(Fact("redrive", node=node))
                self.redrives += 1

    def _outcome(self, act: Act, item: Item | None) -> Fact:
        """What this attempt comes to: a function of node, activation, item and attempt."""
        one = item or act
        waiting = (item.state if item else act.phase) == "waiting"
        collecting = act.items is not None and item is None
        key = f"{act.node}/{act.n}/{one.attempt}/{item.index if item else ''}/{waiting}/{collecting}"
        number = crc32(key.encode())
        luck = self.game.outcomes[number % len(self.game.outcomes)]
        fact = Fact("succeed", act.uid, item.index if item else -1, one.attempt)
        if waiting:
            return self._answer(fact, luck, one)
        if self.game.flow.nodes[act.node].foreach and act.items is None and luck not in (7, 8, 13):
            return replace(fact, kind="expand", count=1 + number % 5)
        match luck:
            case 5:
                return replace(fact, keys=("k", act.node), removed=("r",))
            case 6:
                return replace(fact, action="x", keys=("r",), removed=("k",))
            case 7 if item is None and not collecting:
                return replace(fact, kind="skip")
            case 8 | 9:
                return replace(fact, kind="fail", code="E")
            case 10 | 11:
                return replace(fact, kind="fail", code="R", retryable=True, retry_after=700 if luck == 11 else 0)
            case 12:
                return replace(fact, kind="wait", child=number % 2 == 0)
            case 13:
                return replace(fact, kind="wait", until=self.run.now + 500)
            case 14:
                return replace(fact, kind="fail", code="AMBIGUOUS", retryable=True)
        return fact

    def _answer(self, fact: Fact, luck: int, one: Act | Item) -> Fact:
        if luck in (9, 10):
            return replace(fact, kind="signal_error", code="R" if luck == 10 else "E", retryable=luck == 10)
        action = "x" if luck == 6 else "default"
        return replace(fact, kind="timer" if one.due and luck % 2 == 0 else "signal", action=action)


def _told(fact: Fact) -> str:
    """A fact with what differs from the defaults."""
    plain = Fact(fact.kind)
    return f"  {fact.kind} " + " ".join(
        f"{one.name}={getattr(fact, one.name)}"
        for one in fields(fact)
        if getattr(fact, one.name) != getattr(plain, one.name)
    )
