"""Flows, blobs, callbacks and documents (the ports of those names)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import FlowId, RunId, StepId
from flowrunner.errors import PreconditionFailed
from flowrunner.ports.backend import Backend
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.flows import FlowRow

from tests.contracts.suites.build import ACCOUNT, NASTY, NOW, OTHER, RUN, start


def flow(name: str = "greet", document: str = "a: 1", flow_id: str = "f1", **changes: Any) -> FlowRow:
    """What is given to `save`; the revision is the store's to choose."""
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "revision": 0,
        "hash": f"hash of {document}",
        "created_at": NOW,
    }
    return FlowRow(id=FlowId(flow_id), name=name, document=document, **(values | changes))


class FlowRules:
    """Documents by revision."""

    def test_a_new_name_is_the_first_revision(self, backend: Backend) -> None:
        """It gets the id that was proposed, and is found by both."""
        saved = backend.flows.save(flow())
        assert saved == flow(revision=1)
        assert backend.flows.get(ACCOUNT, saved.id) == saved
        assert backend.flows.find(ACCOUNT, "greet") == saved

    def test_a_known_name_keeps_its_id_and_counts_on(self, backend: Backend) -> None:
        """Older revisions stay readable."""
        first = backend.flows.save(flow())
        second = backend.flows.save(flow(document="a: 2", flow_id="ignored", created_at=NOW + 1))
        assert (second.id, second.revision) == (first.id, 2)
        assert backend.flows.get(ACCOUNT, first.id, 1) == first
        assert backend.flows.get(ACCOUNT, first.id, 2) == second
        assert backend.flows.get(ACCOUNT, first.id) == backend.flows.find(ACCOUNT, "greet") == second

    def test_the_newest_document_again_stores_nothing(self, backend: Backend) -> None:
        """An older one again is a new revision: it is a way back."""
        first = backend.flows.save(flow())
        assert backend.flows.save(flow(flow_id="ignored", created_at=NOW + 9)) == first
        backend.flows.save(flow(document="a: 2"))
        assert backend.flows.save(flow()).revision == 3

    @pytest.mark.parametrize("revision", [0, -1, 2, 10**6])
    def test_a_revision_that_is_not_there_is_none(self, backend: Backend, revision: int) -> None:
        """The same for an unknown flow, and one of another account."""
        saved = backend.flows.save(flow())
        assert backend.flows.get(ACCOUNT, saved.id, revision) is None
        assert backend.flows.get(OTHER, saved.id) is None
        assert backend.flows.get(ACCOUNT, FlowId("none")) is None
        assert backend.flows.find(OTHER, "greet") is None

    def test_flows_are_listed_by_name_in_their_newest_revision(self, backend: Backend) -> None:
        """By code points, in pages, and only the account's own."""
        for number, name in enumerate(["b", "a", "Z", "é", "b"]):
            backend.flows.save(flow(name, document=str(number), flow_id=f"f{number}"))
        backend.flows.save(flow("c", account=OTHER))
        assert [(row.name, row.revision) for row in backend.flows.list(ACCOUNT)] == [
            ("Z", 1),
            ("a", 1),
            ("b", 2),
            ("é", 1),
        ]
        assert [row.name for row in backend.flows.list(ACCOUNT, after="a", limit=1)] == ["b"]

    def test_accounts_have_flows_of_the_same_name(self, backend: Backend) -> None:
        """Also with the same id."""
        backend.flows.save(flow())
        backend.flows.save(flow(document="theirs", account=OTHER))
        found = backend.flows.find(ACCOUNT, "greet")
        assert found is not None
        assert found.document == "a: 1"

    @pytest.mark.parametrize("text", NASTY)
    def test_names_and_documents_are_any_text(self, backend: Backend, text: str) -> None:
        """Quotes, SQL and any script are only text."""
        saved = backend.flows.save(flow(text, document=text))
        assert backend.flows.find(ACCOUNT, text) == saved

    def test_threads_that_save_one_name_get_one_revision_each(self, backend: Backend) -> None:
        """Numbers are given out once and without a gap, under one id."""
        rows = [flow(document=str(n), flow_id=f"f{n}") for n in range(12)]
        with ThreadPoolExecutor(6) as threads:
            saved = list(threads.map(backend.flows.save, rows))
        assert sorted(row.revision for row in saved) == list(range(1, 13))
        assert len({row.id for row in saved}) == 1


class FlowRevisionRules:
    """Saving on top of what one has seen, listing revisions, deleting."""

    def test_a_save_on_top_of_the_expected_revision_goes_through(self, backend: Backend) -> None:
        """0 is for a name that must be new."""
        assert backend.flows.save(flow(), 0).revision == 1
        assert backend.flows.save(flow(document="a: 2"), 1).revision == 2
        assert backend.flows.save(flow("other", flow_id="f2"), 0).revision == 1

    @pytest.mark.parametrize("document", ["a: 2", "a: 3"])
    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_a_save_on_top_of_another_revision_is_refused(self, backend: Backend, expected: int, document: str) -> None:
        """Also of the very document that is there already; the error says which revision is the newest."""
        backend.flows.save(flow())
        newest = backend.flows.save(flow(document="a: 2"))
        with pytest.raises(PreconditionFailed, match=r"greet.*revision 2") as caught:
            backend.flows.save(flow(document=document), expected)
        assert caught.value.details["revision"] == 2
        assert backend.flows.find(ACCOUNT, "greet") == newest

    def test_a_revision_of_a_flow_that_is_not_there_is_not_expected(self, backend: Backend) -> None:
        """Nothing is stored, and the name is still new."""
        with pytest.raises(PreconditionFailed, match="not exist"):
            backend.flows.save(flow(), 1)
        assert backend.flows.find(ACCOUNT, "greet") is None
        assert backend.flows.list(ACCOUNT) == []
        backend.flows.save(flow(account=OTHER))
        assert backend.flows.save(flow(), 0).revision == 1

    def test_of_threads_that_save_on_one_revision_one_wins(self, backend: Backend) -> None:
        """The others learn that somebody else was faster."""
        backend.flows.save(flow())

        def save(number: int) -> bool:
            try:
                return backend.flows.save(flow(document=str(number)), 1).revision == 2
            except PreconditionFailed:
                return False

        with ThreadPoolExecutor(6) as threads:
            won = list(threads.map(save, range(12)))
        assert won.count(True) == 1
        found = backend.flows.find(ACCOUNT, "greet")
        assert found is not None
        assert (found.revision, found.document) == (2, str(won.index(True)))

    def test_revisions_are_listed_newest_first_in_pages(self, backend: Backend) -> None:
        """From below a revision on; of this flow only."""
        saved = [backend.flows.save(flow(document=str(n))) for n in range(5)]
        backend.flows.save(flow("other", flow_id="f2"))
        this = saved[0].id
        assert list(backend.flows.revisions(ACCOUNT, this)) == saved[::-1]
        assert list(backend.flows.revisions(ACCOUNT, this, before=4, limit=2)) == [saved[2], saved[1]]
        assert list(backend.flows.revisions(ACCOUNT, this, before=1)) == []
        assert list(backend.flows.revisions(OTHER, this)) == []
        assert list(backend.flows.revisions(ACCOUNT, FlowId("none"))) == []

    def test_a_deleted_flow_leaves_no_revision(self, backend: Backend) -> None:
        """Other flows and another account's of the same id and name stay."""
        for document in ("a: 1", "a: 2"):
            backend.flows.save(flow(document=document))
            backend.flows.save(flow(document=document, account=OTHER))
        kept = backend.flows.save(flow("other", flow_id="f2"))
        assert [backend.flows.delete(ACCOUNT, FlowId("f1")) for _ in range(2)] == [True, False]
        assert backend.flows.get(ACCOUNT, FlowId("f1")) is backend.flows.get(ACCOUNT, FlowId("f1"), 1) is None
        assert backend.flows.find(ACCOUNT, "greet") is None
        assert list(backend.flows.list(ACCOUNT)) == [kept]
        assert len(backend.flows.revisions(OTHER, FlowId("f1"))) == 2
        assert backend.flows.delete(OTHER, FlowId("f2")) is False

    def test_the_name_of_a_deleted_flow_is_new(self, backend: Backend) -> None:
        """With an id of its own, and counting from 1, also for the same document."""
        backend.flows.save(flow())
        backend.flows.delete(ACCOUNT, FlowId("f1"))
        again = backend.flows.save(flow(flow_id="f9"), 0)
        assert (again.id, again.revision) == ("f9", 1)

    def test_threads_that_save_and_delete_leave_a_whole_flow_or_none(self, backend: Backend) -> None:
        """Whatever comes first, the revisions that are there count from 1."""
        first = backend.flows.save(flow())

        def work(number: int) -> object:
            if number % 3 == 2:
                return backend.flows.delete(ACCOUNT, first.id)
            return backend.flows.save(flow(document=str(number)))

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(work, range(24)))
        found = backend.flows.find(ACCOUNT, "greet")
        revisions = [row.revision for row in backend.flows.revisions(ACCOUNT, first.id)]
        assert revisions == list(range(found.revision if found else 0, 0, -1))


class BlobRules:
    """Large values under keys of their own."""

    def test_a_blob_is_read_as_it_was_put(self, backend: Backend) -> None:
        """Any bytes, also before the run itself is stored, also many, also none."""
        for key, content in (("all", bytes(range(256))), ("large", b"x" * 3_000_000), ("none", b"")):
            backend.blobs.put(ACCOUNT, RUN, key, content)
        start(backend)
        assert backend.blobs.get(ACCOUNT, RUN, "all") == bytes(range(256))
        assert backend.blobs.get(ACCOUNT, RUN, "large") == b"x" * 3_000_000
        assert backend.blobs.get(ACCOUNT, RUN, "none") == b""

    def test_a_stored_blob_is_never_overwritten(self, backend: Backend) -> None:
        """The first content stays."""
        backend.blobs.put(ACCOUNT, RUN, "k", b"first")
        backend.blobs.put(ACCOUNT, RUN, "k", b"second")
        assert backend.blobs.get(ACCOUNT, RUN, "k") == b"first"

    def test_blobs_belong_to_account_and_run(self, backend: Backend) -> None:
        """The same key elsewhere is another blob."""
        backend.blobs.put(ACCOUNT, RUN, "k", b"mine")
        assert backend.blobs.get(OTHER, RUN, "k") is None
        assert backend.blobs.get(ACCOUNT, RunId("other"), "k") is None
        assert backend.blobs.get(ACCOUNT, RUN, "K") is None

    @pytest.mark.parametrize("text", NASTY)
    def test_keys_are_any_text(self, backend: Backend, text: str) -> None:
        """Quotes, SQL and any script are only text."""
        backend.blobs.put(ACCOUNT, RUN, text, text.encode())
        assert backend.blobs.get(ACCOUNT, RUN, text) == text.encode()


def callback(token: str = "t1", attempt: int = 1, **changes: Any) -> CallbackRow:
    return replace(CallbackRow(token, ACCOUNT, RUN, StepId("1.0"), attempt, NOW), **changes)


class CallbackRules:
    """The inbox of waiting steps."""

    def test_a_registered_callback_is_found_by_its_token(self, backend: Backend) -> None:
        """And by no other."""
        backend.callbacks.register(callback())
        assert backend.callbacks.find("t1") == callback()
        assert backend.callbacks.find("t2") is None

    @pytest.mark.parametrize("payload", [None, False, 0, "", [], {}, {"a": [1, "\0", "☃"]}, "'; --"])
    def test_the_first_payload_counts(self, backend: Backend, payload: object) -> None:
        """Any JSON value, null included; a second delivery is refused and changes nothing."""
        backend.callbacks.register(callback())
        assert backend.callbacks.deliver("t1", payload) is True
        assert backend.callbacks.deliver("t1", "second") is False
        assert backend.callbacks.find("t1") == callback(payload=payload, delivered=True)

    def test_an_unknown_token_takes_no_payload(self, backend: Backend) -> None:
        """There is nothing to deliver to."""
        assert backend.callbacks.deliver("none", 1) is False

    def test_registering_an_attempt_again_replaces_its_token(self, backend: Backend) -> None:
        """The old token is worth nothing any more."""
        backend.callbacks.register(callback("old"))
        backend.callbacks.register(callback("new"))
        assert backend.callbacks.find("old") is None
        assert backend.callbacks.deliver("old", 1) is False
        assert backend.callbacks.deliver("new", 2) is True

    def test_the_inbox_is_the_last_attempts(self, backend: Backend) -> None:
        """With what was delivered to it, and not what came for an attempt before."""
        assert backend.callbacks.inbox(ACCOUNT, RUN, StepId("1.0")) is None
        backend.callbacks.register(callback("t1", attempt=1))
        backend.callbacks.deliver("t1", "early")
        backend.callbacks.register(callback("t2", attempt=2))
        assert backend.callbacks.inbox(ACCOUNT, RUN, StepId("1.0")) == callback("t2", attempt=2)
        backend.callbacks.deliver("t2", "yes")
        found = backend.callbacks.inbox(ACCOUNT, RUN, StepId("1.0"))
        assert found == callback("t2", attempt=2, payload="yes", delivered=True)
        assert backend.callbacks.inbox(OTHER, RUN, StepId("1.0")) is None
        assert backend.callbacks.inbox(ACCOUNT, RUN, StepId("1.1")) is None

    def test_of_threads_that_deliver_one_wins(self, backend: Backend) -> None:
        """A step is answered once."""
        backend.callbacks.register(callback())
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda n: backend.callbacks.deliver("t1", n), range(16)))
        found = backend.callbacks.find("t1")
        assert found is not None
        assert [number for number, took in enumerate(taken) if took] == [found.payload]


class DocumentRules:
    """Small documents changed by compare-and-set."""

    def test_an_absent_document_is_empty_at_revision_0(self, backend: Backend) -> None:
        """It can be written from there only."""
        assert backend.documents.read(ACCOUNT, "k") == (b"", 0)
        assert backend.documents.write(ACCOUNT, "k", b"x", 1) is False
        assert backend.documents.write(ACCOUNT, "k", b"x", 0) is True
        assert backend.documents.read(ACCOUNT, "k") == (b"x", 1)

    def test_a_write_from_another_revision_is_refused(self, backend: Backend) -> None:
        """And changes nothing."""
        backend.documents.write(ACCOUNT, "k", b"1", 0)
        backend.documents.write(ACCOUNT, "k", b"2", 1)
        for rev in (0, 1, 3):
            assert backend.documents.write(ACCOUNT, "k", b"no", rev) is False
        assert backend.documents.read(ACCOUNT, "k") == (b"2", 2)

    def test_an_emptied_document_keeps_its_revision(self, backend: Backend) -> None:
        """A write meant for an earlier one cannot hit a later one."""
        backend.documents.write(ACCOUNT, "k", b"1", 0)
        backend.documents.write(ACCOUNT, "k", b"", 1)
        assert backend.documents.read(ACCOUNT, "k") == (b"", 2)
        assert backend.documents.write(ACCOUNT, "k", b"again", 0) is False

    def test_documents_belong_to_their_account(self, backend: Backend) -> None:
        """The same key elsewhere is another document."""
        for text in NASTY:
            assert backend.documents.write(ACCOUNT, text, text.encode(), 0) is True
            assert backend.documents.read(OTHER, text) == (b"", 0)
            assert backend.documents.read(ACCOUNT, text) == (text.encode(), 1)

    @pytest.mark.parametrize("rev", [0, 1])
    def test_of_threads_that_write_one_revision_one_wins(self, backend: Backend, rev: int) -> None:
        """Also where there is no document yet."""
        if rev:
            backend.documents.write(ACCOUNT, "k", b"first", 0)
        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(lambda n: backend.documents.write(ACCOUNT, "k", str(n).encode(), rev), range(16)))
        assert won.count(True) == 1
        assert backend.documents.read(ACCOUNT, "k") == (str(won.index(True)).encode(), rev + 1)
