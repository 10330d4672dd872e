"""Dead letters: messages that were delivered five times without success are sent again, or their step fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrunner.bootstrap import make_executor
from flowrunner.core.ids import Millis
from flowrunner.engine.dead_letters import DeadLetterSettings
from flowrunner.functions.messages import Messages, adopter_of
from flowrunner.functions.process import prepare
from flowrunner.ports.queue import Delivery, Receipt
from flowrunner.telemetry.runs import log_run


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("dead-letter", environ)
    engine = make_executor(settings, environ)
    engine.watchers.watch_all(log_run)
    letters = engine.dead_letters(DeadLetterSettings(settings.worker.pause))

    def handle(deliveries: Sequence[Delivery], _ends_at: Millis, _name: str) -> Sequence[Receipt]:
        observed.count("DeadLetters", len(deliveries))
        return letters.handle(deliveries)

    adopt = adopter_of(engine.parts.backend.queue)
    return observed.traced(Messages(adopt, handle, observed, engine.parts.clock, last=True))
