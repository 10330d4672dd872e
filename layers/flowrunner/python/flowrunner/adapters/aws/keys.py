"""The keys of the table. `docs/aws-store.md` lists them all.

A key is made of parts joined by `#`. In every part but the last one `#` and `%` are escaped, so no text can pose as
another key; the last part is written as it is, so that keys sort as the texts in it do (DynamoDB compares UTF-8 bytes).
"""

from __future__ import annotations

from typing import NamedTuple

from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.errors import InvalidInput
from flowrunner.ports.history import step_order
from flowrunner.ports.text import encode_text

PARTITION_BYTES = 2048
SORT_BYTES = 1024
"""What DynamoDB allows."""

HEAD = "0H"
FACTS = "0F"
RUN_ITEMS = "0"
"""Head and facts are read together, by what their keys begin with."""

STEPS = "S#"
BODIES = "Y#"

_FIRST_MOMENT = 10**15
"""Added to a moment, so that those before 1970 sort before those after."""


class Key(NamedTuple):
    """Names an item: partition and sort key."""

    pk: str
    sk: str


def escape(text: str) -> str:
    return text.replace("%", "%25").replace("#", "%23")


def unescape(part: str) -> str:
    return part.replace("%23", "#").replace("%25", "%")


def joined(*parts: str, last: str | None = None) -> str:
    """A key of parts, or of parts and a last one that is written as it is."""
    ends = [escape(part) for part in parts]
    return "#".join(ends if last is None else [*ends, last])


def key(pk: str, sk: str) -> Key:
    """A key that DynamoDB can hold. Raises `InvalidInput` for text that cannot be stored, or is too long."""
    for text, limit in ((pk, PARTITION_BYTES), (sk, SORT_BYTES)):
        if len(encode_text(text)) > limit:
            raise InvalidInput(f"{text[:60]!r}… is too long for a name: this store holds {limit:,} bytes of it")
    return Key(pk, sk)


def moment(at: Millis) -> str:
    """A moment as text that sorts by time."""
    return f"{at + _FIRST_MOMENT:016d}"


def read_moment(text: str) -> Millis:
    return int(text[:16]) - _FIRST_MOMENT


def run_pk(account: AccountId, run: RunId) -> str:
    return joined("R", account, run)


def read_run_pk(pk: str) -> tuple[AccountId, RunId]:
    _, account, run = pk.split("#")
    return AccountId(unescape(account)), RunId(unescape(run))


def step_sk(step: StepId, attempt: int) -> str:
    """The place of an attempt's row: rows sort as steps were scheduled. Raises `ValueError` for what is no step id."""
    return f"{step_prefix(step)}#{attempt:06d}"


def step_prefix(step: StepId) -> str:
    """What the keys of all attempts of a step begin with, but for the `#`."""
    rev, index, item = step_order(step)
    prefix = f"{STEPS}{rev:010d}.{index:06d}" + (f"[{item:08d}" if item >= 0 else "")
    if _step_id(prefix) != step:
        raise ValueError(f"{step!r} is not written as a step id is")
    return prefix


def read_step_sk(sk: str) -> tuple[StepId, int]:
    prefix, _, attempt = sk.rpartition("#")
    return _step_id(prefix), int(attempt)


def _step_id(prefix: str) -> StepId:
    base, bracket, item = prefix.removeprefix(STEPS).partition("[")
    rev, _, index = base.partition(".")
    return StepId(f"{int(rev)}.{int(index)}" + (f"[{int(item)}]" if bracket else ""))
