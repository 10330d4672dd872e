"""Which test runs which entry of the attack corpora: every entry has one, or waits for a part that is not there yet.

A test runs the entries that are among its parameters (tests/attacks.py), so a new entry of an area is run as soon as
it is there. What a test runs in another way is named here one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import FunctionType
from typing import Any

import pytest

from tests.attacks import FOLDER, attacks, needs_corpus

Entry = tuple[str, str]
"""A file and an id; an id alone may be in two files."""

RUN_BY: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("documents.json", "documents"): ("tests.language.test_attack_corpus::test_bad_documents",),
    ("sandbox.json", "sandbox"): ("tests.sandbox.test_attacks::test_every_script_of_the_corpus",),
    ("egress.json", "egress"): (
        "tests.adapters.test_egress_corpus::test_egress",
        "tests.api.test_egress_attacks::test_no_node_and_no_webhook_gets_out",
    ),
    ("webhooks_and_auth.json", "webhook"): ("tests.api.test_hooks::test_the_corpus_of_webhooks",),
    ("webhooks_and_auth.json", "auth"): (
        "tests.api.test_auth_attacks::test_attacks_on_logins_tokens_and_sessions",
        "tests.api.test_callbacks::test_the_corpus",
        "tests.api.test_live_socket::test_attacks_on_the_socket",
        "tests.services.test_names::test_names_of_the_corpus",
    ),
    ("webhooks_and_auth.json", "api"): ("tests.api.test_api_attacks::test_attacks_on_the_api",),
    ("webhooks_and_auth.json", "audit"): ("tests.services.test_audit::test_attacks_on_the_log",),
    ("corpus.json", "ssrf"): ("tests.adapters.test_egress_corpus::test_ssrf",),
    ("corpus.json", "js"): (
        "tests.sandbox.test_attacks::test_every_script_of_the_corpus",
        "tests.language.test_attack_corpus::test_scripts_are_only_parsed",
    ),
    ("corpus.json", "yaml"): ("tests.language.test_attack_corpus::test_yaml",),
    ("corpus.json", "expr"): (
        "tests.sandbox.test_attacks::test_every_expression_of_the_corpus",
        "tests.language.test_attack_corpus::test_scripts_are_only_parsed",
        "tests.language.test_attack_corpus::test_what_a_node_reads_comes_before_it",
        "tests.api.test_tenant_attacks::test_secrets_of_others_are_none",
    ),
    ("corpus.json", "jsonpath"): (
        "tests.nodes.test_jsonpath::test_attack_corpus",
        "tests.language.test_attack_corpus::test_scripts_are_only_parsed",
    ),
    ("corpus.json", "webhook_in"): (
        "tests.api.test_hooks::test_the_broad_corpus",
        "tests.services.test_signatures::test_the_corpus",
    ),
    ("corpus.json", "webhook_out"): (
        "tests.services.test_sender_attacks::test_webhook_out_corpus",
        "tests.nodes.test_webhook::test_webhook_out_corpus",
    ),
    ("corpus.json", "auth"): (
        "tests.api.test_auth_attacks::test_the_older_corpus",
        "tests.services.test_authentication::test_headers_of_the_corpus",
        "tests.services.test_authentication::test_login_attempts_of_the_corpus",
        "tests.services.test_sessions::test_a_huge_password_is_refused_before_hashing",
    ),
    ("corpus.json", "tenant"): ("tests.api.test_tenant_attacks::test_attacks_on_another_account",),
    ("corpus.json", "llm"): ("tests.nodes.test_llm_chat::test_attacks",),
    ("corpus.json", "queue"): ("tests.engine.test_queue_attacks::test_attacks_on_the_queue",),
    ("corpus.json", "path"): ("tests.api.test_web_attacks::test_attacks_on_paths",),
    ("corpus.json", "sql"): ("tests.api.test_store_attacks::test_attacks_on_our_own_store",),
    ("corpus.json", "log"): (
        "tests.telemetry.test_logs::test_attacks_on_the_log",
        "tests.services.test_audit::test_attacks_on_the_log",
        "tests.nodes.test_webhook::test_no_error_shows_a_request_header",
        "tests.api.test_web_attacks::test_what_a_spreadsheet_or_a_page_would_run",
    ),
    ("corpus.json", "console"): ("tests.api.test_console_attacks::test_attacks_on_the_console",),
    ("corpus.json", "email"): ("tests.nodes.test_email_send::test_the_corpus",),
    ("corpus.json", "schedule"): (
        "tests.services.test_cron::test_the_corpus",
        "tests.language.test_attack_corpus::test_schedules",
    ),
}
"""Tests whose parameters are entries, by file and area."""

BY_HAND: Mapping[Entry, str] = {
    ("corpus.json", "auth-33"): "tests.api.test_web_attacks::test_links_lead_to_the_configured_address",
    ("corpus.json", "auth-34"): "tests.api.test_web_attacks::test_no_answer_sends_anybody_elsewhere",
    ("corpus.json", "schedule-08"): "tests.services.test_cron::test_set_back_fires_once",
    (
        "corpus.json",
        "schedule-09",
    ): "tests.services.test_schedules::test_a_moment_that_comes_three_times_starts_one_run",
    ("corpus.json", "schedule-11"): "tests.services.test_schedules::test_the_quota_of_schedules",
    ("corpus.json", "tenant-10"): "tests.services.test_vault::test_a_moved_ciphertext_does_not_decrypt",
    ("corpus.json", "tenant-11"): "tests.services.test_vault::test_a_moved_ciphertext_does_not_decrypt",
    ("webhooks_and_auth.json", "auth-22"): "tests.api.test_isolation::test_another_accounts_things_are_not_there",
}
"""Entries that a test of its own runs. The id stands in the test's module."""

POSTGRES = "the node for PostgreSQL"
UPLOAD, CONSOLE = "plugins that are sent as zip files", "the pages of the console"

WAITS: Mapping[str, tuple[str, ...]] = {
    POSTGRES: ("sql-02", "sql-03", "sql-05", "sql-06", "sql-08", "sql-09"),
    UPLOAD: ("path-04", "path-05"),
}
"""Entries of corpus.json that cannot be run, by what they need and the product does not have."""

IN_PART: Mapping[Entry, tuple[str, ...]] = {
    ("corpus.json", "expr-41"): (POSTGRES,),
    ("corpus.json", "log-10"): (CONSOLE,),
    ("egress.json", "egress-36"): (POSTGRES,),
    ("egress.json", "egress-37"): (POSTGRES,),
}
"""Entries that are run as far as there is something to run, with what the rest needs."""


def entries() -> dict[Entry, str]:
    """All entries of all files, with their areas."""
    return {
        (file.name, entry["id"]): entry["area"]
        for file in sorted(FOLDER.glob("*.json"))
        for entry in attacks(file.name)
    }


def find_test(name: str) -> FunctionType:
    """The test with that name. Raises when there is none."""
    module, _, function = name.partition("::")
    found = getattr(import_module(module), function)
    assert inspect.isfunction(found)
    return found


def named_tests() -> list[str]:
    return sorted({*(name for names in RUN_BY.values() for name in names), *BY_HAND.values()})


def parameters(test: FunctionType) -> Iterator[Any]:
    """All that the test is given, one by one."""
    marks: Iterable[pytest.Mark] = getattr(test, "pytestmark", ())
    for mark in marks:
        if mark.name == "parametrize":
            for one in mark.args[1]:
                yield from getattr(one, "values", (one,)) if not isinstance(one, dict) else (one,)


def run_by(name: str, file: str, area: str) -> set[Entry]:
    """The entries of an area that a test is given: themselves, by their ids, or by the URL that they are."""
    of_area = {entry["id"]: entry for entry in attacks(file, area)}
    ids = {str(entry["input"]).partition(" ")[0]: name for name, entry in of_area.items()} | {
        name: name for name in of_area
    }
    found = set()
    for one in parameters(find_test(name)):
        if isinstance(one, dict) and one.get("file") == file and one.get("id") in of_area:
            found.add((file, str(one["id"])))
        elif isinstance(one, str) and one in ids:
            found.add((file, ids[one]))
    return found


@pytest.mark.parametrize("name", named_tests())
def test_every_named_test_exists(name: str) -> None:
    """As a function that pytest collects."""
    assert find_test(name).__name__.startswith("test_")


@needs_corpus
def test_every_entry_is_run() -> None:
    """By a test that is given it or names it, unless it waits; none is said to do both."""
    run = set(BY_HAND)
    for (file, area), names in RUN_BY.items():
        for name in names:
            given = run_by(name, file, area)
            assert given, f"{name} runs no entry of {area} in {file}"
            run |= given
    waiting = {("corpus.json", name) for names in WAITS.values() for name in names}
    missing = [
        f"{file}: {name} ({area})" for (file, name), area in entries().items() if (file, name) not in run | waiting
    ]
    assert not missing, "nothing runs these entries; write a test, or say here what they wait for"
    assert not run & waiting, "these are run: take them out of WAITS"
    assert run | waiting <= set(entries()), "these entries are gone"
    assert set(IN_PART) <= run


@needs_corpus
def test_what_is_run_by_hand_is_named_where_it_is_run() -> None:
    """So that who changes the test knows, and who looks for the id finds it."""
    for (_, name), test in BY_HAND.items():
        source = inspect.getsource(import_module(test.partition("::")[0]))
        assert name in source or name.replace("-", "_") in source, (name, test)


@needs_corpus
def test_the_areas_are_those_of_the_corpora() -> None:
    """An area that is new, in whatever file, has a row; one that is gone has none."""
    waiting = {name.partition("-")[0] for names in WAITS.values() for name in names}
    areas = {(file, area) for (file, _), area in entries().items()}
    assert {area for area in areas if area[1] not in waiting} <= set(RUN_BY) <= areas
