"""The executor: one step for each message, of the fast queue or of the slow one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from flowrunner.bootstrap import make_executor
from flowrunner.engine.invocation import InvocationSettings
from flowrunner.functions.messages import Messages, adopter_of
from flowrunner.functions.process import prepare
from flowrunner.telemetry.runs import log_run

SLOW_LANE = {"all": None, "fast": False, "slow": True}

log = logging.getLogger(__name__)


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("executor", environ)
    engine = make_executor(settings, environ)
    engine.watchers.watch_all(log_run)

    def trouble(error: BaseException) -> None:
        observed.count("StoreErrors")
        log.warning("%s; the message comes again", error)

    invocations = engine.invocations(
        InvocationSettings(SLOW_LANE[settings.worker.lane], pause=settings.worker.pause), on_error=trouble
    )
    adopt = adopter_of(engine.parts.backend.queue)
    return observed.traced(Messages(adopt, invocations.handle, observed, engine.parts.clock))
