"""Live events: one hub per process, which everybody who watches a run or an account's runs hangs on.

What this process commits reaches the hub at once; what others commit is read from the store, all watched runs in one
batch. Each event is encoded once, however many watch. Readers first get the history from where they were, page by
page, then are attached to the run's channel in one step, so that nothing falls between; what comes twice has the same
id. A reader that is too slow is let go and resumes from its last event: nothing grows for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.state import State
from flowrunner.engine.engine import Engine
from flowrunner.engine.feed import News, Pages, Position
from flowrunner.engine.watch import Change
from flowrunner.errors import NotFound, UnreadableRun
from flowrunner.ports.runs import RunRow
from flowrunner.ports.wakeups import Topic
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.live_accounts import AccountChannel, known_runs, new_runs, row_after
from flowrunner.services.live_channels import Channels, RunChannel, RunKey
from flowrunner.services.live_frames import Batch, Frame
from flowrunner.services.live_logs import LogFilter, read_logs
from flowrunner.services.live_readers import LiveLimits, Readers, Subscription
from flowrunner.services.mailbox import Mail, Mailbox, Outbox, call_in, drain

_log = logging.getLogger("flowrunner.live")

REPLAY = 500
"""Events of the history that are read at once."""
PAUSE = 0.01
"""Seconds between two turns: what happens meanwhile travels together."""
LOOK, LOOK_SOON = 0.5, 0.25
"""How often the heads of watched runs are looked at, unless this process works on them, and after a store's hint."""
FRESH = 2.0
"""A run that this process changed so recently is not looked at."""
ACCOUNTS_LOOK, ACCOUNTS_LOOK_SOON = 5.0, 1.0
"""How often accounts' runs are listed, and after a hint."""
WAITING = 10_000
"""Changes that wait for the hub at most."""
AT_ONCE = 500
"""Runs whose heads are read in one batch, and runs of an account whose steps are passed on."""


class Hub:
    """See the module. Its thread begins with the first reader; nothing happens while nobody watches.

    `turn` belongs to that thread (or to a test's, with `threaded=False`); the rest is safe from any. The lock is held
    for what is in memory, never while the store is asked.
    """

    def __init__(self, engine: Engine, limits: LiveLimits | None = None, *, threaded: bool = True) -> None:
        self._feed = engine.feed
        self._watchers = engine.watchers
        self._backend = engine.parts.backend
        self._clock = engine.parts.clock
        self._lock = threading.Lock()
        self._channels = Channels(self._watchers, self._hear)
        self._accounts: dict[AccountId, AccountChannel] = {}
        self._readers = Readers(limits or LiveLimits())
        # What falls out at the other end is found by looking at the store, like what was never told.
        self._changes, self._account_changes = (deque[Change](maxlen=WAITING) for _ in range(2))
        self._stale: set[RunKey] = set()
        self._outbox = Outbox()
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._hinted = self._accounts_hinted = self._relaying = False
        self._looked = self._accounts_looked = self._clock.monotonic()
        self._thread = threading.Thread(target=self._serve, name="live-hub", daemon=True) if threaded else None
        self._begun = False
        self._leave: list[Callable[[], None]] = []

    # -- for readers --------------------------------------------------------------------------------------------

    def subscribe(self, actor: Actor, run: RunId, after: Position, mailbox: Mailbox, name: str) -> Subscription:
        """A reader of a run's events after a position; it has to be replayed before the mailbox gets anything.

        Raises `Forbidden`, `NotFound`, or `TooManyRequests` when there are too many readers.
        """
        require(actor, Permission.RUNS_READ)
        reader = Subscription(self, actor.account, name, mailbox, run=run, position=after)
        with self._admitted(reader):
            reader.channel = self._open(actor.account, run)
        return reader

    def subscribe_account(self, actor: Actor, mailbox: Mailbox, name: str, *, steps: bool = False) -> Subscription:
        """A reader of the starts and ends of all the account's runs from now on, with `steps` of all their events.

        Raises `Forbidden` or `TooManyRequests`.
        """
        require(actor, Permission.RUNS_READ)
        reader = Subscription(self, actor.account, name, mailbox, steps=steps)
        with self._admitted(reader):
            if not self._join(reader, None):
                self._join(reader, known_runs(self._backend.history, actor.account, self._clock.now()))
        return reader

    def read(self, actor: Actor, run: RunId, after: Position, limit: int) -> Pages:
        """A page of a run's events. Raises `Forbidden` or `NotFound`."""
        require(actor, Permission.RUNS_READ)
        return self._feed.page(actor.account, run, after, limit)

    def logs(self, actor: Actor, run: RunId, after: Position, wanted: LogFilter, limit: int) -> Pages:
        """A page of a run's log lines, perhaps empty though more will come. Raises as `read`."""
        require(actor, Permission.RUNS_READ)
        return read_logs(self._feed, actor.account, run, after, wanted, limit)

    def page(self, account: AccountId, run: RunId, after: Position, limit: int = REPLAY) -> Pages:
        """A page of a run's history. For internal callers."""
        return self._feed.page(account, run, after, limit)

    def attach(self, reader: Subscription, page: Pages) -> Sequence[Frame]:
        """Let a reader that has seen `page` go on with what happens from now on, if that is all there was.

        Gives what was told of steps under way, and is in no history yet.
        """
        assert reader.run is not None, "only a run has pages"
        if reader.channel is None or reader.channel.ended:
            # The run was over, and goes on after a redrive.
            reader.channel = self._open(reader.account, reader.run)
        with self._lock:
            channel = reader.channel
            if channel is None or channel.ended or channel.rev > page.rev or reader.closed:
                return []
            reader.caught_up = True
            channel.members.append(reader)
            return channel.open_frames()

    def leave(self, reader: Subscription) -> None:
        """Nothing more for a reader; safe to repeat."""
        with self._lock:
            if reader.closed:
                return
            reader.closed = True
            self._readers.remove(reader)
            if reader.channel is not None:
                reader.channel.members = [one for one in reader.channel.members if one is not reader]
                self._channels.release(reader.channel)
            account = self._accounts.get(reader.account) if reader.run is None else None
            if account is not None:
                account.members = [one for one in account.members if one is not reader]
                if not account.members:
                    del self._accounts[reader.account]
        self._bell.set()

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    # -- its thread ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let all readers go, who come back to another process. To be called before a server waits for them."""
        with self._lock:
            everybody, begun = self._readers.close(), self._begun
        self._stopping.set()
        self._bell.set()
        if begun and self._thread is not None:
            self._thread.join(10)
        for leave in self._leave:
            leave()
        self._leave.clear()
        for reader in everybody:
            call_in(reader.mailbox.loop, reader.mailbox.close, "stopping")

    def turn(self) -> None:
        """Tell all that is new."""
        for change in drain(self._changes):
            self._change(change)
        now = self._clock.monotonic()
        self._look_at_runs(now)
        # What happened to steps goes before the end of their run.
        self._catch_up()
        for change in drain(self._account_changes):
            if change.ended and (change.account, change.run) in self._stale:
                self._catch_up()  # it began and ended since the last turn
            self._account_change(change)
        self._look_at_accounts(now)
        self._relay()
        self._catch_up()
        self._outbox.flush()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            busy = self._channels or self._accounts
            self._bell.wait(LOOK_SOON if busy else None)
            self._bell.clear()
            try:
                self.turn()
            except Exception:  # noqa: BLE001  # whatever it is, it is logged and the hub goes on
                _log.exception("telling live events failed; they are read again")
                with self._lock:
                    self._stale.update((one.account, one.run) for one in self._channels.all())
                self._stopping.wait(LOOK)
            self._stopping.wait(PAUSE)

    @contextmanager
    def _admitted(self, reader: Subscription) -> Iterator[None]:
        """Count a reader; when what follows fails, no longer."""
        with self._lock:
            self._readers.add(reader)
            begun, self._begun = self._begun, True
        try:
            if not begun:
                self._listen()
                if self._thread is not None:
                    self._thread.start()
            yield
        except BaseException:
            self.leave(reader)
            raise

    def _join(self, reader: Subscription, made: AccountChannel | None) -> bool:
        """Let a reader hear of its account's runs, by the channel that is there or else `made`; False without any."""
        with self._lock:
            account = self._accounts.get(reader.account, made)
            if account is None:
                return False
            self._accounts[reader.account] = account
            account.members.append(reader)
        reader.caught_up = True
        self._bell.set()
        return True

    def _listen(self) -> None:
        def hint(topic: Topic) -> None:
            if topic == "runs":
                self._hinted = self._accounts_hinted = True

        def hear(change: Change) -> None:
            reopened = change.view.state.status.over and not change.state.status.over
            if change.account in self._accounts and (change.created or change.ended or reopened):
                self._account_changes.append(change)
                self._bell.set()

        self._leave = [self._backend.wakeups.listen(hint), self._watchers.watch_all(hear)]

    def _hear(self, change: Change) -> None:
        self._changes.append(change)
        self._bell.set()

    # -- changes ------------------------------------------------------------------------------------------------

    def _change(self, change: Change) -> None:
        key = (change.account, change.run)
        with self._lock:
            channel = self._channels.get(key)
            if channel is None:
                return
            if change.under_way is not None:
                self._tell(channel, channel.speak(change.under_way))
                return
            found = channel.commit(change)
            if found is None:
                self._stale.add(key)
                return
            if change.state.rev > change.view.row.rev:
                channel.fresh_at = self._clock.monotonic()
            self._tell(channel, found)

    def _account_change(self, change: Change) -> None:
        with self._lock:
            account = self._accounts.get(change.account)
            if account is None:
                return
            row = row_after(change)
            self._tell_account(account, account.see(row, change.state))
            if change.created and account.wants_steps:
                self._relay_new(account, row, change.state)

    def _relay_new(self, account: AccountChannel, row: RunRow, state: State) -> None:
        """Pass on the steps of a run from its beginning. Called with the lock."""
        key = (row.account, row.id)
        if self._channels.get(key) is None and len(account.live) <= AT_ONCE:
            channel = self._install(RunChannel(News(row, state, (), ())))
            channel.relayed = True
            channel.users += 1
            account.relayed.add(row.id)

    # -- what others commit -------------------------------------------------------------------------------------

    def _look_at_runs(self, now: float) -> None:
        if not self._channels or now - self._looked < (LOOK_SOON if self._hinted else LOOK):
            return
        hinted, self._hinted, self._looked = self._hinted, False, now
        with self._lock:
            watched = [channel for channel in self._channels.all() if now - channel.fresh_at > FRESH]
        for start in range(0, len(watched), AT_ONCE):
            channels = watched[start : start + AT_ONCE]
            rows = self._backend.runs.load([(one.account, one.run) for one in channels])
            for channel, row in zip(channels, rows, strict=True):
                if row is None or row.rev > channel.rev:
                    self._stale.add((channel.account, channel.run))
                elif hinted and channel.foreign:
                    news = News(row, channel.state, (), self._feed.under_way(channel.account, channel.run))
                    with self._lock:
                        self._tell(channel, channel.catch_up(news))

    def _look_at_accounts(self, now: float) -> None:
        soon = ACCOUNTS_LOOK_SOON if self._accounts_hinted else ACCOUNTS_LOOK
        if not self._accounts or now - self._accounts_looked < soon:
            return
        self._accounts_hinted, self._accounts_looked = False, now
        for account in list(self._accounts.values()):
            rows = new_runs(self._backend.history, self._backend.runs, account, self._clock.now())
            self._stale |= {(row.account, row.id) for row, state in rows if state.status.over}
            self._catch_up()
            with self._lock:
                for row, state in rows:
                    self._tell_account(account, account.see(row, state))

    def _relay(self) -> None:
        """Have a channel for each live run of an account whose steps are wanted, and for no other."""
        if not self._accounts and not self._relaying:
            return
        new: list[RunKey] = []
        with self._lock:
            self._relaying = bool(self._accounts)
            for account in self._accounts.values():
                new += [(account.account, run) for run in account.to_relay(AT_ONCE)]
            for channel in self._channels.all():
                keeper = self._accounts.get(channel.account)
                if channel.relayed and (keeper is None or channel.run not in keeper.relayed):
                    channel.relayed = False
                    self._channels.release(channel)
        for key in new:
            with suppress(NotFound):
                found = self._open(*key)
                if found is not None:
                    found.relayed = True

    def _catch_up(self) -> None:
        with self._lock:
            stale, self._stale = self._stale, set()
            channels = [channel for key in stale if (channel := self._channels.get(key)) is not None]
        for channel in channels:
            try:
                news: News | None = self._feed.news(channel.account, channel.run, channel.rev)
            except UnreadableRun:
                continue  # a newer program goes on with it
            except NotFound:
                news = None
            with self._lock:
                channel.ended |= news is None  # it was deleted
                self._tell(channel, channel.catch_up(news) if news is not None else [])

    # -- telling (with the lock) --------------------------------------------------------------------------------

    def _tell(self, channel: RunChannel, found: Sequence[Frame]) -> None:
        if found and channel.relayed:
            steps = [one for one in found if one.event.step_id is not None]
            account = self._accounts.get(channel.account)
            if steps and account is not None:
                self._post([one for one in account.members if one.steps], Batch(steps))
        if found or channel.ended:
            self._post(channel.members, Batch(found, ended=channel.ended))
        if channel.ended:
            channel.members = []
            self._channels.remove(channel)

    def _tell_account(self, account: AccountChannel, found: Sequence[Frame]) -> None:
        if found:
            self._post(account.members, Batch(found))

    def _post(self, readers: Iterable[Subscription], batch: Batch) -> None:
        for reader in readers:
            self._outbox.post(reader.mailbox, Mail(reader.name, batch))

    # -- channels -----------------------------------------------------------------------------------------------

    def _open(self, account: AccountId, run: RunId) -> RunChannel | None:
        """The channel of a run, with one user more; None for a run that is over. Raises `NotFound`."""
        key = (account, run)
        with self._lock:
            channel = self._channels.get(key)
            if channel is not None:
                channel.users += 1
                return channel
        news = self._feed.news(account, run)
        if news.state.status.over:
            return None
        with self._lock:
            channel = self._channels.get(key) or self._install(RunChannel(news))
            channel.users += 1
            return channel

    def _install(self, channel: RunChannel) -> RunChannel:
        """Begin to hear of a run. What happened between its reading and now is caught up with."""
        self._channels.add(channel)
        self._stale.add((channel.account, channel.run))
        self._bell.set()
        return channel
