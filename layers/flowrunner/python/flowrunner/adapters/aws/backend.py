"""The backend on AWS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flowrunner.adapters.aws.blobs import DynamoBlobs
from flowrunner.adapters.aws.callbacks import DynamoCallbacks
from flowrunner.adapters.aws.clients import Clients, Location
from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.documents import DynamoDocuments
from flowrunner.adapters.aws.entities import DynamoEntities
from flowrunner.adapters.aws.flows import DynamoFlows
from flowrunner.adapters.aws.history import DynamoHistory
from flowrunner.adapters.aws.journal import Journal
from flowrunner.adapters.aws.kv import DynamoKeyValues
from flowrunner.adapters.aws.lists import RunLists
from flowrunner.adapters.aws.queue import TableQueue
from flowrunner.adapters.aws.removal import AccountRemoval, RunRemoval
from flowrunner.adapters.aws.rows import Rows
from flowrunner.adapters.aws.run_items import RunItems
from flowrunner.adapters.aws.runs import DynamoRuns
from flowrunner.adapters.aws.schema import migrate
from flowrunner.adapters.aws.sqs import SqsQueue
from flowrunner.adapters.aws.sweep import Sweeper
from flowrunner.adapters.aws.table import Table
from flowrunner.adapters.aws.table_stream import TableStream
from flowrunner.adapters.aws.wakeups import PollingWakeups
from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.backend import Capabilities
from flowrunner.ports.blobs import Blobs
from flowrunner.ports.callbacks import Callbacks
from flowrunner.ports.changes import Changes
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.documents import Documents
from flowrunner.ports.entities import Entities
from flowrunner.ports.flows import Flows
from flowrunner.ports.history import RunHistory
from flowrunner.ports.kv import KeyValues
from flowrunner.ports.queue import WorkQueue
from flowrunner.ports.runs import RunStore
from flowrunner.ports.sweep import Swept
from flowrunner.ports.wakeups import Wakeups

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

LOOK_EVERY = 1.0
"""Seconds between two looks for what other processes have done."""

TRUST: Millis = 2_000
"""How long a claim believes the head that its message was looked up in. What is promised of a cancel holds with any
such time: no effect begins from a state that was *read* after it. So long a step begins late at most."""


class DynamoBackend:
    """See `ports.backend.Backend`: one table and one bucket, and a queue of SQS if there is one."""

    name = "DynamoDB"

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        s3: S3Client,
        table: str,
        bucket: str,
        clock: Clock,
        draws: Draws,
        *,
        sqs: SQSClient | None = None,
        queue: str = "",
        slow: str = "",
        trust: Millis = 0,
        look_every: float = LOOK_EVERY,
    ) -> None:
        """With `sqs` messages go to the queues at the URLs `queue` and `slow`, else they stay in the table.

        `trust`: see `DynamoRuns`. Nothing is asked of AWS before the first use.
        """
        self.capabilities = Capabilities(durable=True, shared=True, lagging_lists=True, turns=False)
        self._s3, self._bucket = s3, bucket
        self._wakeups = PollingWakeups(look_every)
        self._table = Table(dynamodb, table)
        contents = Contents(self._table, s3, bucket, draws)
        rows = Rows(self._table, contents)
        later = TableQueue(self._table, self._wakeups.tell)
        self._sqs = sqs
        messages: TableQueue | SqsQueue = later
        if sqs is not None:
            messages = SqsQueue(sqs, queue, slow, self._table, later, clock, self._wakeups.tell)
            self.capabilities = replace(self.capabilities, exact_queue=False)
        self.journal = Journal(self._table, contents, rows, messages, clock)
        items = RunItems(contents)
        self._sweeper = Sweeper(self._table, items, self.journal, messages)
        messages.attend(self.journal, self._sweeper.sweep)
        lists = RunLists(self._table, items)
        self.wakeups: Wakeups = self._wakeups
        self.queue: WorkQueue = messages
        self.runs: RunStore = DynamoRuns(
            self._table,
            contents,
            rows,
            self.journal,
            messages,
            clock,
            draws,
            self._wakeups.tell,
            trust,
        )
        blobs = DynamoBlobs(self._table, contents)
        values = DynamoKeyValues(self._table, contents, draws)
        callbacks = DynamoCallbacks(self._table, contents, draws)
        documents = DynamoDocuments(self._table, contents, draws)
        flows = DynamoFlows(self._table, contents, draws)
        entities = DynamoEntities(self._table, contents, draws)
        removal = RunRemoval(self._table, contents, self.journal, later, callbacks, blobs, values)
        self._accounts = AccountRemoval(removal, lists, documents, flows, entities)
        self.history: RunHistory = DynamoHistory(self._table, rows, self.journal, lists, removal)
        self.flows: Flows = flows
        self.blobs: Blobs = blobs
        self.values: KeyValues = values
        self.callbacks: Callbacks = callbacks
        self.documents: Documents = documents
        self.entities: Entities = entities
        self.changes: Changes = TableStream(self._table, contents, rows)

    @classmethod
    def open(cls, url: str, clock: Clock, draws: Draws) -> DynamoBackend:
        """The store at a URL as `Location` has it. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
        where = Location.parse(url)
        clients = Clients(where.region)
        return cls(
            clients.dynamodb(),
            clients.s3(),
            where.table,
            where.bucket,
            clock,
            draws,
            sqs=clients.sqs() if where.queue else None,
            queue=where.queue,
            slow=where.slow,
            trust=TRUST if where.queue else 0,
        )

    def sweep(self, now: Millis) -> Swept:
        """See `ports.sweep`. Workers that receive messages by themselves do it once a minute."""
        return self._sweeper.sweep(now)

    def migrate(self) -> None:
        migrate(self._table, self._s3, self._bucket)

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        return self._accounts.delete(account, limit)

    def close(self) -> None:
        self._wakeups.close()
        self._table.close()
        self._s3.close()
        if self._sqs is not None:
            self._sqs.close()
