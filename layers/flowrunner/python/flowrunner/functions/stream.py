"""The table's stream: what follows from commits, for who watches, for outbound webhooks and for usage.

A batch that could not be done because a store did not answer comes again, whole: doing it twice changes nothing. What
cannot be read, or makes us fail, is logged and passed over, for a shard goes on only behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrunner.bootstrap import make_platform
from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, StoreError
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import Context, ends_at, prepare
from flowrunner.ports.changes import Changes, RunMoved, StepSpoke
from flowrunner.ports.clock import Clock
from flowrunner.services.platform import Platform
from flowrunner.services.run_news import RunNews
from flowrunner.services.stream_usage import StreamUsage

Record = Mapping[str, Any]
Answer = dict[str, list[dict[str, str]]]

RESERVE: Millis = 15_000
"""What is kept of an invocation's time for webhooks and usage, which come last."""

log = logging.getLogger(__name__)


class Stream:
    """Handles batches of records."""

    def __init__(self, changes: Changes, news: RunNews, observed: Observed, clock: Clock) -> None:
        self._changes = changes
        self._news = news
        self._observed = observed
        self._clock = clock

    def __call__(self, event: Mapping[str, Any], context: Context) -> Answer:
        with self._observed.invocation(context):
            records: Sequence[Record] = event.get("Records", ())
            until = ends_at(context, self._clock) - RESERVE
            try:
                self._tell(self._read(records), until)
            except StoreError as error:
                log.warning("%s; the batch comes again", error)
                self._observed.count("BatchesReturned")
                return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}
            return {"batchItemFailures": []}

    def _read(self, records: Sequence[Record]) -> list[RunMoved | StepSpoke]:
        """The changes in a batch. Raises `StoreError`."""
        found: list[RunMoved | StepSpoke] = []
        for record in records:
            try:
                change = self._changes.read(record)
            except StoreError:
                raise
            except Exception:  # a shard goes on only behind it, so it may not come again for ever
                log.exception("a record of the table's stream cannot be read and is passed over")
                self._observed.count("RecordsSkipped")
                continue
            if change is not None:
                found.append(change)
        return found

    def _tell(self, changes: Sequence[RunMoved | StepSpoke], until: Millis) -> None:
        """Do what follows from a batch, or if that fails what follows from each change. Raises `StoreError`."""
        try:
            self._news.tell(changes, until)
            return
        except StoreError:
            raise
        except Exception:  # whoever among them is at fault is found below
            log.exception("a batch failed; its changes are told one by one")
        for change in changes:
            try:
                self._news.tell([change], until)
            except StoreError:
                raise
            except Exception:  # as for a record: what is behind it waits
                log.exception("a change of a run could not be told and is passed over")
                self._observed.count("RecordsSkipped")


def make_news(platform: Platform, observed: Observed) -> RunNews:
    """What follows from changes, over the services of a platform; metrics of steps and runs are counted with usage."""
    parts = platform.engine.parts
    backend, clock = parts.backend, parts.clock

    def flow_name(change: RunMoved) -> str:
        row = backend.runs.load([(change.row.account, change.row.id)])[0]
        return row.flow_name if row is not None else ""

    usage = StreamUsage(backend.entities, clock, flow_name, observed.observe_commits)
    return RunNews(usage, platform.outbound, platform.sockets)


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("stream", environ)
    platform = make_platform(settings, environ)
    changes: Changes | None = getattr(platform.engine.parts.backend, "changes", None)
    if changes is None:
        raise ConfigurationError("store.url: only a table of DynamoDB has a stream")
    return observed.traced(Stream(changes, make_news(platform, observed), observed, platform.engine.parts.clock))
