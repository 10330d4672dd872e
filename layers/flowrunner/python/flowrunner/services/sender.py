"""The sender of webhooks: takes deliveries that are due, sends them, and writes down what came of it.

Before it is sent a delivery is *leased* by a conditional write (its due time is moved to the lease's end), so several
processes send each once; should one die meanwhile, the delivery comes due again and goes out under the same id.

A slow receiver holds up nobody else: an endpoint has few sends in flight, and an account at most half of the threads,
and no more than are free: however many accounts have slow receivers, a few threads are left for the others.
What cannot go now is put off to a time at which it probably can, which takes it out of the way of the others.
"""

from __future__ import annotations

import html
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.own_calls import OwnCalls
from flowrunner.errors import FlowrunnerError, NotFound
from flowrunner.nodes.http_errors import retry_after
from flowrunner.nodes.webhook import signing_key
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.http import HttpClient, HttpRequest, HttpResponse
from flowrunner.ports.secrets import Secrets
from flowrunner.services.audit import Action, Audit
from flowrunner.services.deliveries import Deliveries, Delivery, DeliveryStatus, Try
from flowrunner.services.endpoint_keys import EndpointKeys
from flowrunner.services.endpoints import Endpoint, Endpoints
from flowrunner.services.pace import Pace
from flowrunner.services.webhook_messages import headers_for

log = logging.getLogger("flowrunner.webhooks")

TIMEOUT = 15.0
SOON = 3.0
"""The time limit of a try that somebody waits for, and half of it is the longest that the one before may have taken."""
ROUND = 20.0
"""Seconds after which a round that waits begins nothing more."""
LEASE: Millis = 60_000
RESPONSE_BYTES = 1024
BATCH = 100
ROUNDS = 100
"""Batches of one round at most: another round follows."""
LONGEST_PUT_OFF: Millis = 120_000
SLOT_KEPT: Millis = 5_000
"""A slot that is older was missed: taken all at once, missed slots would be the burst that the rate prevents."""
MAX_KEYS = 3
"""Signatures of one message: more keys than that are not rotation."""
SETTLE_TRIES = 20
SLOWED = frozenset({429, 502, 503, 504})
"""Answers whose `Retry-After` counts."""

GONE = 410


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """`per_second`: from an account to a host; `in_flight`: to one endpoint at once; `threads`: in all. By process."""

    threads: int = 16
    per_second: int = 10
    in_flight: int = 4
    waits: bool = False
    """A round ends when all that it has begun is done, for a process that stands still between its rounds."""


class Sender:
    """See the module. `send` is one round; `on_free` is called when a thread has become free."""

    def __init__(
        self,
        deliveries: Deliveries,
        endpoints: Endpoints,
        keys: EndpointKeys,
        secrets: Secrets,
        http: HttpClient,
        audit: Audit,
        clock: Clock,
        draws: Draws,
        settings: SenderSettings | None = None,
        public_url: str | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._keys = keys
        self._secrets = secrets
        self._http = http
        self._audit = audit
        self._clock = clock
        self._draws = draws
        self._settings = settings or SenderSettings()
        self._public_url = public_url
        self._pool = executor
        self._rate = Pace(burst=self._settings.per_second)
        self._queues = Pace()
        self._lock = threading.Lock()
        self._busy = 0
        self._in_flight: Counter[str] = Counter()
        self._by_account: Counter[AccountId] = Counter()
        self._durations: SizedCache[str, Millis] = SizedCache(10_000)
        self._begun: list[Future[None]] = []
        self.on_free: Callable[[], None] = lambda: None
        self.on_outcome: Callable[[str], None] = lambda outcome: None
        """Called after each try: `delivered`, `retried` (another one follows) or `failed`."""

    def send(self) -> Millis | None:
        """Begin all that is due and can go. Answers when to come back."""
        until = self._clock.monotonic() + ROUND
        while True:
            back = self._begin_due()
            if not self._settings.waits:
                return back
            full = self._busy >= self._settings.threads
            self._wait()
            if not full or self._clock.monotonic() >= until:
                return back

    def send_now(self, deliveries: Iterable[Delivery]) -> None:
        """Send these and wait for it, but leave to the rounds whose receivers are slow or in trouble."""
        for delivery in deliveries:
            if self._busy < self._settings.threads and self._is_quick(delivery):
                self._take(delivery, SOON)
        self._wait()

    def _is_quick(self, delivery: Delivery) -> bool:
        endpoint = self._endpoints.get(delivery.account, delivery.endpoint)
        took = self._durations.get(delivery.endpoint) or 0
        return endpoint is not None and endpoint.failing_since is None and took <= SOON * 500

    def _wait(self) -> None:
        begun, self._begun = self._begun, []
        wait_for(begun)

    def _begin_due(self) -> Millis | None:
        for _ in range(ROUNDS):
            due = self._deliveries.due(BATCH)
            if not due:
                return self._deliveries.next_due()
            for delivery in due:
                if self._busy >= self._settings.threads:
                    return self._clock.now() + 1_000  # `on_free` comes first
                self._take(delivery)
        return self._clock.now()

    def close(self) -> None:
        """Wait for what is in flight. Whatever is due stays in the store."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    # -- taking -------------------------------------------------------------------------------------------------

    def _take(self, delivery: Delivery, timeout: float = TIMEOUT) -> None:
        """Lease a delivery and send it, or get it out of the way."""
        endpoint = self._endpoints.get(delivery.account, delivery.endpoint)
        if endpoint is None:
            self._deliveries.drop(delivery)
            return
        if not endpoint.enabled:
            self._deliveries.write(delivery.given_up("the webhook is disabled"), delivery.rev)
            return
        now = self._clock.now()
        later = self._room_at(delivery, endpoint, now)
        if later is not None:
            self._deliveries.write(replace(delivery, next_try=later), delivery.rev)
            return
        slot = self._slot(delivery, endpoint, now)
        if slot > now:
            self._deliveries.write(replace(delivery, next_try=slot, slot=slot), delivery.rev)
            return
        leased = self._deliveries.write(replace(delivery, next_try=now + LEASE, slot=None), delivery.rev)
        if leased is not None:
            self._begin(leased, endpoint, timeout)

    def _room_at(self, delivery: Delivery, endpoint: Endpoint, now: Millis) -> Millis | None:
        """When there is room for one more in flight, probably; None: now."""
        with self._lock:
            most = max(1, min(self._settings.threads // 2, self._settings.threads - self._busy))
            own, account = self._in_flight[endpoint.id], self._by_account[endpoint.account]
        if own < self._settings.in_flight and account < most:
            return None
        # One more goes every so often: the time that one takes, shared by those in flight.
        each = max((self._durations.get(endpoint.id) or 100) // self._settings.in_flight, 10)
        slot = self._queues.reserve(endpoint.id, now + each, each)
        return min(slot, now + LONGEST_PUT_OFF)

    def _slot(self, delivery: Delivery, endpoint: Endpoint, now: Millis) -> Millis:
        """The slot of the target's rate limit: the one that the delivery has, or a new one."""
        if delivery.slot is not None and now - SLOT_KEPT <= delivery.slot <= now:
            return delivery.slot
        # By account: else one that sends ten thousand messages to a host that many use would be all that it hears of.
        target = f"{endpoint.account} {_host(endpoint.url)}"
        return self._rate.reserve(target, now, max(1_000 // self._settings.per_second, 1))

    def _begin(self, delivery: Delivery, endpoint: Endpoint, timeout: float) -> None:
        with self._lock:
            self._busy += 1
            self._in_flight[endpoint.id] += 1
            self._by_account[endpoint.account] += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._settings.threads, thread_name_prefix="webhook")
        work = self._pool.submit(self._work, delivery, endpoint, timeout)
        if self._settings.waits:
            self._begun.append(work)

    # -- sending ------------------------------------------------------------------------------------------------

    def _work(self, delivery: Delivery, endpoint: Endpoint, timeout: float) -> None:
        try:
            result, wait = self._try(delivery, endpoint, timeout)
            self._durations.put(endpoint.id, result.duration, 1)
            self._settle(delivery, endpoint, result, wait)
        except Exception:  # in a thread of the pool nobody would hear of it
            # It comes due again when its lease is over.
            log.exception("the delivery %s was sent, but not recorded", delivery.id)
        finally:
            with self._lock:
                self._busy -= 1
                self._in_flight -= Counter((endpoint.id,))
                self._by_account -= Counter((endpoint.account,))
            self.on_free()

    def _try(self, delivery: Delivery, endpoint: Endpoint, timeout: float) -> tuple[Try, Millis]:
        """One try, and the wait that the receiver asked for."""
        at, started = self._clock.now(), self._clock.monotonic()
        response: HttpResponse | None = None
        error: str | None = None
        try:
            response = self._post(delivery, endpoint, at, timeout)
        except FlowrunnerError as failure:
            error = f"{failure.code}: {failure}"
        except Exception as failure:  # a fault of ours counts as a failed try, or it would be tried for ever
            log.exception("the delivery %s could not be sent", delivery.id)
            error = type(failure).__name__
        duration = int((self._clock.monotonic() - started) * 1000)
        if response is None:
            return Try(at, duration, None, error), 0
        asked = retry_after(response.headers, at) if response.status in SLOWED else None
        return Try(at, duration, response.status, None, shown(response.content)), int((asked or 0) * 1000)

    def _post(self, delivery: Delivery, endpoint: Endpoint, now: Millis, timeout: float) -> HttpResponse:
        headers = headers_for(delivery.id, now, delivery.payload, self._signing_keys(endpoint, now), endpoint.headers)
        http = OwnCalls(self._http, self._public_url, delivery.depth) if self._public_url else self._http
        return http.send(
            HttpRequest(
                method="POST",
                url=endpoint.url,
                headers=tuple(headers.items()),
                content=delivery.payload.encode(),
                timeout=timeout,
                max_redirects=0,
                max_bytes=RESPONSE_BYTES,
                cut=True,
            )
        )

    def _signing_keys(self, endpoint: Endpoint, now: Millis) -> list[bytes]:
        """The keys that sign, the newest first. A secret that is wanted and not there is an error, never unsigned.

        A vault's secret may hold several keys, separated by spaces, while it is being rotated.
        """
        if endpoint.secret is None:
            return self._keys.live(endpoint, now)
        texts = self._secrets.read(endpoint.account, endpoint.secret).split() or [""]
        return [signing_key(text) for text in texts[:MAX_KEYS]]

    # -- what came of it ----------------------------------------------------------------------------------------

    def _settle(self, delivery: Delivery, endpoint: Endpoint, result: Try, wait: Millis) -> None:
        """Record a try, on the delivery as it is now: somebody may have asked for another try meanwhile."""
        gone = result.status == GONE
        for _ in range(SETTLE_TRIES):
            after = delivery.tried(result, wait, self._draws.fraction())
            if delivery.status is not DeliveryStatus.PENDING and not result.taken:
                after = replace(delivery, tries=after.tries)
            elif gone:
                after = after.given_up("the receiver wants no more (410)")
            if self._deliveries.write(after, delivery.rev) is not None:
                break
            newer = self._deliveries.current(delivery)
            if newer is None:
                break
            delivery = newer
        failed = after.status is DeliveryStatus.FAILED
        self.on_outcome("delivered" if result.taken else "failed" if failed else "retried")
        self._judge(endpoint, result, gone=gone)

    def _judge(self, endpoint: Endpoint, result: Try, *, gone: bool) -> None:
        """What a try says about the endpoint as a whole."""
        now = self._clock.now()

        def change(found: Endpoint) -> Endpoint | None:
            if gone and found.enabled:
                return replace(found, enabled=False, disabled_reason="the receiver wants no more (it answered 410)")
            return found.succeeded() if result.taken else found.failed(now)

        if result.taken and endpoint.failing_since is None:
            return
        try:
            after = self._endpoints.change(endpoint.account, endpoint.id, change)
        except NotFound:
            return
        if endpoint.enabled and not after.enabled and after.disabled_reason:
            self._audit.record_for(
                endpoint.account, "webhooks", Action.WEBHOOK_DISABLED, endpoint.id, reason=after.disabled_reason
            )


def shown(content: bytes) -> str:
    """The beginning of an answer as text that harms nobody who looks at it: no markup, no control characters."""
    text = content[:RESPONSE_BYTES].decode("utf-8", "replace")
    clean = "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
    return html.escape(clean)[:RESPONSE_BYTES]


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()
