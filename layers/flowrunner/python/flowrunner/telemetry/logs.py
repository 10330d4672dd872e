"""Structured logs on the standard library's `logging`, one line a record, as text or JSON.

A record has our fields (`FIELDS`: ids that we have made) at the top, and everything else under `data`: what tenants
write never becomes a key beside ours, so no value of theirs can pass for a field, a line or an embedded metric.

    log.warning("step failed", extra={"account": …, "run": …, "data": {"code": …}})

Fields that belong to all that a request does are bound once: `with bound(correlation=…): …`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from flowrunner.core.times import iso_time
from flowrunner.settings import LogSettings
from flowrunner.telemetry.lines import masked, one_line, safe_value

FIELDS = ("account", "flow", "run", "step", "correlation")

QUIET = (
    *("uvicorn.access", "httpcore", "httpx", "httpx2", "urllib3", "opentelemetry", "botocore", "asyncio"),
    *("uvicorn.error", "websockets"),
)
"""Loggers of libraries that have something to say to operators when it is a warning. The last two would also write down
the URL and the messages of each WebSocket, with the ticket or the token in them."""

STACK = "    | "
"""Before each line of a traceback in text: none of them can be taken for a record."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "data", "color_message"}

_context: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default={})  # noqa: B039  # never changed in place


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Put these fields on every record of this thread or task. Raises `TypeError` for a field that is none."""
    unknown = fields.keys() - set(FIELDS)
    if unknown:
        raise TypeError(f"there is no log field {', '.join(sorted(unknown))}; put it into `data`")
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr), as the settings want them; replaces what was configured."""
    handler = logging.StreamHandler(stream) if stream is not None else _Stderr()
    handler.setFormatter(json_formatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error"):
        # uvicorn brings handlers of its own, which know nothing of all this.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: whoever redirects it, or closes what it was, need not know of logs."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the base class sets it once
        return sys.stderr


def document_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record as JSON: time, level, logger, message, our fields, `data`, and what was raised."""
    given = record.__dict__
    document: dict[str, Any] = {
        "time": iso_time(int(record.created * 1000)),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    data: dict[str, Any] = {key: value for key, value in given.items() if key not in _STANDARD and key not in FIELDS}
    own = given.get("data")
    data.update(own if isinstance(own, Mapping) else {"value": own} if own is not None else {})
    if isinstance(record.msg, Mapping):
        data.update(record.msg)
        document["message"] = ""
    else:
        document["message"] = safe_value(record.getMessage())
    fields = {**_context.get(), **{key: given[key] for key in FIELDS if given.get(key)}}
    document.update({key: safe_value(str(fields[key])) for key in FIELDS if key in fields})
    if data:
        document["data"] = safe_value(data)
    if record.exc_info and record.exc_info[1] is not None:
        document["error"] = masked(logging.Formatter().formatException(record.exc_info))
    return document


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, `key=value`, `data.key=value`; then a traceback, its lines marked."""

    def format(self, record: logging.LogRecord) -> str:
        document = document_of(record)
        error, data = str(document.pop("error", "")), document.pop("data", {})
        head = [document.pop(key) for key in ("time", "level", "logger", "message")]
        rest = [f"{key}={_shown(value)}" for key, value in document.items()]
        rest += [f"data.{_shown(key)}={_shown(value)}" for key, value in data.items()]
        line = one_line(" ".join([head[0], f"{head[1].upper():<7}", f"{head[2]}:", head[3], *rest]))
        return "\n".join([line, *(STACK + one_line(one) for one in error.splitlines())])


def json_formatter() -> logging.Formatter:
    """For machines: one JSON object a line, in ASCII."""
    from pythonjsonlogger.json import JsonFormatter

    class OurJsonFormatter(JsonFormatter):
        def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
            log_data.update(document_of(record))

    return OurJsonFormatter(json_ensure_ascii=True)


def _shown(value: Any) -> str:
    """A value in a line of text: bare if it is one word, else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = isinstance(value, str) and text and not any(one.isspace() or one in "\"'=" for one in text)
    return text if plain or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)
