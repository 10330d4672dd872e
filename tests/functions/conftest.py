"""What tests of functions share: the logging of the test runner is put back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Functions send all logs through their own handler; afterwards all is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("executor", "scheduler", "dead-letter", "api", "stream", "websocket"):
        own = logging.getLogger(name)
        own.handlers.clear()
        own.filters.clear()
        own.__dict__.pop("init", None)
        own.__dict__.pop("powertools_handler", None)
