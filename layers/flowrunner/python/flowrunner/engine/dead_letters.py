"""Dead letters: messages that a queue has given up, after so many deliveries of which none came to an end.

That is rarely the step's doing: a step that kills its process is a `CRASH_LOOP` before (`intake`). It is the store that
did not answer for a long time, or a mistake of ours. So a letter whose step is still owed is sent again, later each
time; and when that has not helped either, the step fails as `ENGINE_ERROR`, and its run ends or goes on as its flow
says. A letter of which nothing is owed any more is dropped. So whoever sends dead letters back to their queue by hand
does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from flowrunner.core.events import Event, SignalReceived, StepFailed
from flowrunner.core.ids import Millis
from flowrunner.core.state import DEADLINE, SETTLE, Entry, Phase
from flowrunner.engine.committer import Done
from flowrunner.engine.dispatch import ADMIT, POKE, Ack, Execute, Later, Look, dispatch
from flowrunner.engine.invocation import PAUSE, Invocations
from flowrunner.engine.outcome import Outcome, RunView, facts_of
from flowrunner.engine.programs import Programs
from flowrunner.engine.records import Attempt
from flowrunner.engine.services import Services
from flowrunner.engine.views import Views
from flowrunner.errors import EngineError, StoreError, ValueLost
from flowrunner.ports.kv import namespaces_of
from flowrunner.ports.queue import Delivery, Message, Receipt
from flowrunner.ports.runs import RowStatus

VISITS_KEPT: Millis = 30 * 86_400_000
"""How long a visit counts: more than twice as long as SQS keeps a message."""

TIME: Millis = 30_000
"""What an invocation has for the letters of engine business, which execute nothing."""

BUSINESS = frozenset({SETTLE, DEADLINE, ADMIT})
"""Steps that are none of the flow's."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetterSettings:
    """How long a letter waits before it is tried again: so many pauses at each visit; the next one is its last."""

    pause: Millis = PAUSE
    visits: tuple[int, ...] = (12, 180)

    @property
    def pauses(self) -> tuple[Millis, ...]:
        return tuple(self.pause * times for times in self.visits)


class DeadLetters:
    """See the module."""

    def __init__(
        self, services: Services, programs: Programs, invocations: Invocations, settings: DeadLetterSettings
    ) -> None:
        self._services = services
        self._backend = services.backend
        self._programs = programs
        self._invocations = invocations
        self._settings = settings

    def handle(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """See to each letter; answers those that have to come again, since the store does not answer now either."""
        again: list[Receipt] = []
        for delivery in deliveries:
            try:
                again += self._visit(delivery.receipt)
            except StoreError as error:
                log.warning("a dead letter has to wait: %s", error)
                again.append(delivery.receipt)
            except Exception:  # a fault of ours with one letter keeps no other from being seen to
                log.exception("a dead letter could not be seen to")
                again.append(delivery.receipt)
        return again

    def _visit(self, receipt: Receipt) -> list[Receipt]:
        now = self._services.clock.now()
        if receipt.step in BUSINESS:
            # Whoever tried before may have done half of it, and all of it may be done twice.
            return self._invocations.handle([Delivery(receipt, 2)], now + TIME)
        view = Views(self._backend.runs, self._programs).get([receipt])[receipt.account, receipt.run]
        if view is None:
            return self._drop(receipt)
        if not isinstance(view, RunView):
            # Nobody can read this run or load its flow now; a later program may.
            self._send_again(receipt, now + self._settings.pauses[-1], 1, slow=False)
            return []
        match dispatch(view, receipt, now):
            case Ack():
                return self._drop(receipt)
            case Execute(entry) | Look(entry):
                return self._owed(view, receipt, entry, now)
            case Later(due):
                self._send_again(receipt, due, view.row.priority, slow=self._slow(view, receipt))
                return []
            case business:
                raise AssertionError(f"{business} is the engine's business")

    def _owed(self, view: RunView, receipt: Receipt, entry: Entry, now: Millis) -> list[Receipt]:
        namespace = namespaces_of(receipt.run) + "~dead-letters"  # no flow can name it: `~` is not in its alphabet
        key = f"{receipt.step}/{receipt.attempt}"
        expires_at = now + VISITS_KEPT
        visits = int(self._backend.values.increment(receipt.account, namespace, key, 1, now, expires_at))
        pauses = self._settings.pauses
        about = {"account": receipt.account, "run": receipt.run, "step": receipt.step, "visits": visits}
        if visits <= len(pauses):
            log.warning("step %s of run %s is a dead letter; it is tried again", receipt.step, receipt.run, extra=about)
            self._send_again(receipt, now + pauses[visits - 1], view.row.priority, slow=self._slow(view, receipt))
            return []
        log.error("step %s of run %s is a dead letter; it fails", receipt.step, receipt.run, extra=about)
        return self._invocations.settle([Done(receipt, outcome=self._failure(receipt, entry, now))], now + TIME)

    def _failure(self, receipt: Receipt, entry: Entry, now: Millis) -> Outcome:
        """The failed step. Nothing of its node is evaluated for it: that may be what cannot be done."""
        step, number = receipt.step, entry.attempt
        facts = facts_of(EngineError(hint="the logs of the functions say why; a redrive tries again"))
        event: Event = StepFailed(step, number, facts)
        row: Attempt | None = None
        if entry.phase is Phase.WAITING:
            event = SignalReceived(step, number, error=facts)
            with suppress(ValueLost):  # its row may be what cannot be had
                row = self._services.reader.attempt(receipt.account, receipt.run, step, number)
        row = row or Attempt(step, number, entry.node, RowStatus.FAILED, entry.n, entry.parent, entry.via, now)
        return Outcome(event, replace(row, status=RowStatus.FAILED, ended_at=now, error=facts.record(entry.node)))

    def _slow(self, view: RunView, receipt: Receipt) -> bool:
        return receipt.attempt != POKE and view.program.slow(receipt.step, view.state.frontier.get(receipt.step))

    def _send_again(self, receipt: Receipt, due: Millis, priority: int, *, slow: bool) -> None:
        self._backend.queue.send([Message(receipt, due, priority, slow)])

    def _drop(self, receipt: Receipt) -> list[Receipt]:
        self._backend.queue.ack([receipt])
        return []
