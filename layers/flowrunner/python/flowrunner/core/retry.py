"""Whether and when an attempt is repeated."""

from __future__ import annotations

from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import Node, RetryPolicy
from flowrunner.core.ids import Millis

NEVER_RETRIED = frozenset({"AMBIGUOUS", "CRASH_LOOP", "ENGINE_ERROR"})
"""Outcomes that say a further try is unsafe or pointless, whatever the policy lists."""


def will_retry(node: Node, error: ErrorFacts, tries: int) -> bool:
    """Whether `node` is tried again after `tries` attempts, the last of which failed with `error`."""
    if node.at_most_once or error.code in NEVER_RETRIED or tries >= node.retry.max_attempts:
        return False
    if node.retry.on:
        return any(matches(pattern, error.code) for pattern in node.retry.on)
    return error.retryable


def matches(pattern: str, code: str) -> bool:
    """Whether an error code is meant by a pattern of `retry.on`.

    A pattern is a code (`NodeTimeout`, `HttpStatus:503`), a class of numbered codes (`HttpStatus:5xx`), a code
    without its number (`HttpStatus` for every one), or `*`.
    """
    if pattern in ("*", code):
        return True
    kind, colon, number = code.partition(":")
    if not colon:
        return False
    if pattern == kind:
        return True
    wanted_kind, _, wanted = pattern.partition(":")
    return (
        kind == wanted_kind
        and len(wanted) == len(number)
        and all(want in ("x", have) for want, have in zip(wanted.lower(), number, strict=True))
    )


def retry_delay(policy: RetryPolicy, tries: int, draw: float, retry_after: Millis = 0) -> Millis:
    """How long to wait after `tries` failed attempts.

    `delay * backoff^(tries-1)`, at most `max_delay`; with full jitter a `draw` from [0, 1) scales it (AWS
    Architecture Blog, "Exponential Backoff and Jitter"). What the other side asked for is never undercut.
    """
    # The exponent is bounded beyond what a document may ask for (100 tries), where no float overflows yet.
    raw = policy.delay * policy.backoff ** min(tries - 1, 128)
    waiting = min(raw, policy.max_delay)
    if policy.jitter == "full":
        waiting *= draw
    return max(int(waiting), retry_after)
