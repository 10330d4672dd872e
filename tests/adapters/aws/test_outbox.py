"""What a commit owes can be read again as it was written, however it was put together."""

from __future__ import annotations

from flowrunner.adapters.aws.outbox import Entry, Letter, StoredRow, decode, encode
from flowrunner.core.ids import AccountId, NodeId, RunId, StepId
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import RowStatus
from hypothesis import given
from hypothesis import strategies as st

ACCOUNT, RUN = AccountId("acct"), RunId("run")

STEPS = st.one_of(
    st.builds("{}.{}".format, st.integers(1, 2), st.integers(0, 12)),
    st.builds("{}.0[{}]".format, st.integers(1, 2), st.integers(0, 12)),
    st.sampled_from(["deadline", "settle", "admit"]),
)


def letters(rev: int) -> st.SearchStrategy[list[Letter]]:
    receipts = st.builds(
        lambda run, step, attempt: Receipt(ACCOUNT, run, StepId(step), attempt),
        st.sampled_from([RUN, RUN, RUN, RunId("child")]),
        STEPS,
        st.integers(0, 2),
    )
    messages = st.builds(Message, receipts, st.sampled_from([5, 7]), st.sampled_from([1, 1, 0]), st.booleans())
    one = st.builds(Letter, messages, st.booleans(), st.just(rev), st.sampled_from([0, 0, 9]))
    return st.lists(one, max_size=20)


ROWS = st.builds(
    StoredRow,
    STEPS.map(StepId),
    st.integers(1, 2),
    st.just(NodeId("n")),
    st.sampled_from(list(RowStatus)),
    st.integers(0, 9),
    st.binary(max_size=20),
)


@given(st.data())
def test_entries_are_read_as_they_were_written(data: st.DataObject) -> None:
    """Letters of steps that follow each other are written as one; nothing is lost by that, and the order stays."""
    entries = [
        Entry(
            rev, [Receipt(ACCOUNT, RUN, StepId("1.0"), 1)], data.draw(letters(rev)), data.draw(st.lists(ROWS)), rev == 3
        )
        for rev in (2, 3)
    ]
    assert decode(encode(entries, ACCOUNT, RUN), ACCOUNT, RUN) == entries


def test_a_wide_fan_out_weighs_little() -> None:
    """A hundred letters that are alike are as one; a gap costs one more."""
    alike = [Letter(Message(Receipt(ACCOUNT, RUN, StepId(f"2.{number}"), 1), 5), rev=2) for number in range(100)]
    assert len(encode([Entry(2, letters=alike)], ACCOUNT, RUN)) < 60
    assert len(encode([Entry(2, letters=[*alike[:50], *alike[51:]])], ACCOUNT, RUN)) < 80
