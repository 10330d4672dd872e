"""Messages as SQS carries them: what is in one, and what an answer of SQS or an event of Lambda says of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.errors import InvalidInput, UnreadableMessage
from flowrunner.ports.queue import Delivery, Receipt

VERSION = 1

BOUND = 300
"""A message has fewer bytes, for ever: it names an attempt and carries nothing."""

GROUP = re.compile(r"[\x21-\x7e]{1,128}")
"""What SQS takes for a message group."""

FIELDS = ("account", "run", "step", "attempt")


def written(receipt: Receipt) -> str:
    """The body of a message: plain ASCII, which SQS takes all of. Raises `InvalidInput` for names that are too long."""
    body = json.dumps({"v": VERSION, **dict(zip(FIELDS, receipt, strict=True))}, separators=(",", ":"))
    if len(body) >= BOUND:
        raise InvalidInput(
            f"run {receipt.run[:60]!r}… of account {receipt.account[:60]!r}… has too long a name for SQS"
        )
    return body


def read(body: str) -> Receipt:
    """Which message it is. Raises `UnreadableMessage`."""
    try:
        document = json.loads(body)
        version = document["v"]
        account, run, step, attempt = (document[name] for name in FIELDS)
    except (ValueError, LookupError, TypeError):
        raise UnreadableMessage("a message is not one of flowrunner's") from None
    if version != VERSION:
        raise UnreadableMessage(f"a message has format {version!r}; this program knows format {VERSION}")
    if not (isinstance(account, str) and isinstance(run, str) and isinstance(step, str) and type(attempt) is int):
        raise UnreadableMessage("a message is not one of flowrunner's")
    return Receipt(AccountId(account), RunId(run), StepId(step), attempt)


def delivered(body: str, attributes: Mapping[Any, str]) -> Delivery:
    """A message that was received. Raises `UnreadableMessage`."""
    return Delivery(read(body), int(attributes.get("ApproximateReceiveCount", 1)))


def group(account: AccountId) -> str:
    """The message group of an account."""
    return account if GROUP.fullmatch(account) else hashlib.sha256(account.encode()).hexdigest()


def seconds(duration: Millis, longest: int) -> int:
    """Whole seconds, never too early."""
    return min(max(0, -(-duration // 1000)), longest)
