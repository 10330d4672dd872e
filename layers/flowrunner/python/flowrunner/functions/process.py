"""What every function does when its process starts: settings from the environment, logs, and memory that is private."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Protocol

from flowrunner.core.ids import Millis
from flowrunner.functions.observing import NAMESPACE, Observed
from flowrunner.ports.clock import Clock
from flowrunner.settings import Settings, load_settings

PR_SET_DUMPABLE = 4
"""prctl(2)."""


class Context(Protocol):
    """What we use of Lambda's context object."""

    @property
    def aws_request_id(self) -> str: ...

    def get_remaining_time_in_millis(self) -> int: ...


def prepare(service: str, environ: Mapping[str, str]) -> tuple[Settings, Observed]:
    """For the start of a function's process: its settings, and what its logs and figures go through.

    Raises `ConfigurationError`: a function that is wired wrongly does not start.
    """
    keep_memory_private()
    settings = load_settings(environ).settings
    namespace = environ.get("POWERTOOLS_METRICS_NAMESPACE", NAMESPACE)
    return settings, Observed(environ.get("POWERTOOLS_SERVICE_NAME", service), settings, namespace)


def keep_memory_private() -> None:
    """Let no other process of this user read our memory or environment, which hold the function's credentials.

    The processes that run scripts are such processes. A process that is not dumpable belongs to root under /proc
    (proc(5)), and ptrace(2) refuses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process could not be made private")


def ends_at(context: Context, clock: Clock) -> Millis:
    """When Lambda ends this invocation."""
    return clock.now() + context.get_remaining_time_in_millis()
