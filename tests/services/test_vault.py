"""The vault: secrets go in, runs read them, nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.core.ids import AccountId, RunId
from flowrunner.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    SecretMissing,
    StoreError,
    TooLarge,
    Unreadable,
)
from flowrunner.ports.entities import Entity
from flowrunner.services.data_keys import DataKeys
from flowrunner.services.identity import Role
from flowrunner.services.secret_box import CACHE_BYTES, CACHE_USES, KIND, SecretBox
from flowrunner.services.secret_import import LARGEST, MOST, parse_secrets
from flowrunner.services.vault import Secret
from flowrunner.services.vault_secrets import SecretReads, VaultSecrets

from tests.attacks import attacks, needs_corpus
from tests.services.vaults import make_safe, person

CANARY = "hunter2-hunter2"


def test_a_secret_is_set_and_read_by_runs_only() -> None:
    """What people get is when and how often it was set."""
    safe = make_safe()
    made = safe.vault.put(person(), "API_KEY", CANARY)
    at = safe.clock.now()
    assert made == Secret("API_KEY", 1, at, at)
    assert VaultSecrets(safe.box).read(AccountId("a"), "API_KEY") == CANARY
    safe.turn(1_000)
    assert safe.vault.put(person(), "API_KEY", "another value") == Secret("API_KEY", 2, at, at + 1_000, at)
    assert safe.vault.get(person(), "API_KEY") == Secret("API_KEY", 2, at, at + 1_000, at)
    assert VaultSecrets(safe.box).read(AccountId("a"), "API_KEY") == "another value"


def test_no_row_holds_a_value() -> None:
    """Nor do the records of the audit log."""
    safe = make_safe()
    safe.vault.put(person(), "API_KEY", CANARY)
    safe.vault.import_(person(), f"B={CANARY}", "dotenv")
    for kind in (KIND, "audit"):
        rows = safe.entities.list(AccountId("a"), kind, safe.clock.now())
        assert rows
        assert not [row for row in rows if b"hunter2" in row.body]


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A" * 129, "Ü", "A\n", "A/B", "a\0", "A\u202eB", "../A"])
def test_a_name_is_one_of_the_flow_language(name: str) -> None:
    """Others are refused when written, and not there when read."""
    safe = make_safe()
    with pytest.raises(InvalidInput, match="a name is a letter"):
        safe.vault.put(person(), name, CANARY)
    with pytest.raises(NotFound):
        safe.vault.get(person(), name)
    with pytest.raises(NotFound):
        safe.vault.delete(person(), name)
    with pytest.raises(SecretMissing):
        VaultSecrets(safe.box).read(AccountId("a"), name.replace("\0", ""))


@pytest.mark.parametrize(
    ("value", "problem"),
    [("", "at least 4"), ("abc", "at least 4"), ("x" * (LARGEST + 1), "65,537 bytes"), ("\ud800abcd", "not Unicode")],
)
def test_a_value_that_cannot_be_kept_or_masked_is_refused(value: str, problem: str) -> None:
    """Without the value in the message."""
    with pytest.raises(InvalidInput, match=problem):
        make_safe().vault.put(person(), "A", value)


def test_the_largest_value_comes_back() -> None:
    """Whatever characters it has."""
    safe = make_safe()
    value = ("\0\n\"'\\€😀" * LARGEST)[: LARGEST // 4]
    safe.vault.put(person(), "A", value)
    assert safe.value("a", "A") == value


def test_secrets_are_listed_by_name_in_pages() -> None:
    """In the order of their names, an account's own only."""
    safe = make_safe()
    for name in ("B", "A_2", "A", "_x"):
        safe.vault.put(person(), name, CANARY)
    safe.vault.put(person("b"), "OTHER", CANARY)
    assert [one.name for one in safe.vault.list(person(), limit=2)] == ["A", "A_2"]
    assert [one.name for one in safe.vault.list(person(), after="A_2", limit=2)] == ["B", "_x"]
    assert VaultSecrets(safe.box).names(AccountId("a")) == ["A", "A_2", "B", "_x"]


def test_a_deleted_secret_is_gone_at_once() -> None:
    """Also for who had it in memory; set again it is new."""
    safe = make_safe()
    other = SecretBox(safe.entities, safe.keys, safe.clock)
    safe.vault.put(person(), "A", CANARY)
    assert other.read(AccountId("a"), "secret", "A").decode() == CANARY
    safe.vault.delete(person(), "A")
    with pytest.raises(SecretMissing, match="'A'"):
        VaultSecrets(other).read(AccountId("a"), "A")
    with pytest.raises(NotFound):
        safe.vault.delete(person(), "A")
    assert safe.vault.put(person(), "A", "other").version == 1


def test_another_process_sees_a_new_value_at_once() -> None:
    """What it keeps in memory is for exactly one ciphertext."""
    safe = make_safe()
    other = SecretBox(safe.entities, safe.keys, safe.clock)
    safe.vault.put(person(), "A", CANARY)
    assert other.read(AccountId("a"), "secret", "A").decode() == CANARY
    safe.vault.put(person(), "A", "changed value")
    assert other.read(AccountId("a"), "secret", "A") == b"changed value"


def test_roles_decide() -> None:
    """Viewers see nothing, operators names, editors write."""
    safe = make_safe()
    safe.vault.put(person(), "A", CANARY)
    viewer, operator, editor = (person(role=role) for role in (Role.VIEWER, Role.OPERATOR, Role.EDITOR))
    for read in (lambda who: safe.vault.get(who, "A"), safe.vault.list):
        with pytest.raises(Forbidden):
            read(viewer)
        assert CANARY not in repr(read(operator))
    for write in (
        lambda who: safe.vault.put(who, "A", "other"),
        lambda who: safe.vault.import_(who, "A=other", "dotenv"),
        safe.vault.rotate,
        lambda who: safe.vault.delete(who, "A"),
    ):
        for who in (viewer, operator):
            with pytest.raises(Forbidden):
                write(who)
        write(editor)


def test_everything_is_recorded() -> None:
    """By name, and before it is done."""
    safe = make_safe()
    safe.vault.put(person(), "A", CANARY)
    safe.vault.import_(person(), "B=value", "dotenv")
    safe.vault.rotate(person())
    safe.vault.delete(person(), "A")
    assert safe.acts() == [
        ("secret.written", "A"),
        ("secret.written", "B"),
        ("secrets.imported", ""),
        ("secrets.rotated", safe.keys.key_id),
        ("secret.deleted", "A"),
    ]


def test_the_number_of_secrets_has_a_limit() -> None:
    """A new name counts, a new value does not; an import counts as a whole."""

    def check(account: AccountId, count: Callable[[], int]) -> None:
        if count() >= 2:
            raise QuotaExceeded

    safe = make_safe(check_count=check)
    safe.vault.put(person(), "A", CANARY)
    safe.vault.put(person(), "B", CANARY)
    safe.vault.put(person(), "B", "other")
    safe.vault.import_(person(), "A=other\nB=other", "dotenv")
    with pytest.raises(QuotaExceeded):
        safe.vault.put(person(), "C", CANARY)
    with pytest.raises(QuotaExceeded):
        safe.vault.import_(person(), "A=third\nC=third", "dotenv")
    assert safe.value("a", "A") == "other"


# -- import ---------------------------------------------------------------------------------------------------------

DOTENV = """\
# comment
PLAIN=plain value  # and a comment
export QUOTED="two\\nlines"
SINGLE='as $it is'

LINES="-----BEGIN
END-----"
EQUALS=a=b=c
"""


def test_a_dotenv_text_is_imported() -> None:
    """With comments, quotes, and values over several lines; what is there already is updated."""
    safe = make_safe()
    safe.vault.put(person(), "PLAIN", "before")
    done = safe.vault.import_(person(), DOTENV, "dotenv")
    assert (done.created, done.updated) == (["EQUALS", "LINES", "QUOTED", "SINGLE"], ["PLAIN"])
    assert {one.name: safe.value("a", one.name) for one in safe.vault.list(person())} == {
        "PLAIN": "plain value",
        "QUOTED": "two\nlines",
        "SINGLE": "as $it is",
        "LINES": "-----BEGIN\nEND-----",
        "EQUALS": "a=b=c",
    }


def test_a_dotenv_text_is_not_let_hold_up_everything() -> None:
    """Each blank at the end of a value would be tried as the beginning of a comment: hours, for a megabyte of them."""
    with pytest.raises(InvalidInput, match="line 2 has more than 200 blanks side by side"):
        parse_secrets("A=value\nB=b" + " " * 900_000 + "c", "dotenv")
    assert parse_secrets("A=value" + " " * 200 + "# b", "dotenv") == {"A": "value"}


def test_a_text_that_is_wrong_everywhere_is_told_a_part_of_it() -> None:
    """A megabyte of wrong lines is not answered by twenty of problems."""
    with pytest.raises(InvalidInput) as caught:
        parse_secrets("a b\n" * 200_000, "dotenv")
    assert len(caught.value.details["problems"]) == 100


def test_a_json_text_is_imported() -> None:
    """One object of texts."""
    safe = make_safe()
    assert safe.vault.import_(person(), '{"A": "one value", "B": "two\\n"}', "json").created == ["A", "B"]
    assert safe.value("a", "B") == "two\n"


def test_all_problems_of_a_dotenv_text_are_told_and_nothing_is_written() -> None:
    """By line and name, without a value."""
    safe = make_safe()
    text = f"GOOD={CANARY}\n\n\nnonsense {CANARY}\n1X={CANARY}\nSHORT=abc\nEMPTY\nGOOD={CANARY}\nLAST='{CANARY}"
    with pytest.raises(InvalidInput, match="nothing was imported") as caught:
        safe.vault.import_(person(), text, "dotenv")
    problems = caught.value.details["problems"]
    assert [(one["line"], one["field"], one["message"].partition(":")[0]) for one in problems] == [
        (4, "text", "expected KEY=value"),
        (5, "text", "a name is a letter or `_`, then letters, digits and `_`, 128 characters at most"),
        (6, "SHORT", "a secret has at least 4 characters"),
        (7, "EMPTY", "has no value"),
        (8, "GOOD", "is there twice"),
        (9, "text", "expected KEY=value"),
    ]
    assert "hunter2" not in repr(caught.value.details) + str(caught.value)
    assert safe.vault.list(person()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"A": "hunter2-a", "B": 5, "C-": "hunter2-c", "D": "x"}', "must be a text"),
        ('["hunter2-hunter2"]', "expected one object"),
        ('{"A": "hunter2-a', "not JSON"),
        ('{"A": "hunter2-a", "A": "hunter2-b"}', "in one object twice"),
        ('{"A": 44444444444444444444444444}', "secrets are texts"),
        ("{}", "no secret in it"),
    ],
)
def test_a_bad_json_text_is_refused(text: str, says: str) -> None:
    """As a whole, without a value."""
    safe = make_safe()
    with pytest.raises(InvalidInput, match="nothing was imported") as caught:
        safe.vault.import_(person(), text, "json")
    told = repr(caught.value.details) + str(caught.value)
    assert says in told
    assert "hunter2" not in told
    assert "4444" not in told


def test_an_import_has_limits() -> None:
    """Of size and number."""
    vault = make_safe().vault
    with pytest.raises(TooLarge):
        vault.import_(person(), "A=" + "x" * 1024 * 1024, "dotenv")
    with pytest.raises(InvalidInput) as caught:
        vault.import_(person(), "\n".join(f"K{number}=value" for number in range(MOST + 1)), "dotenv")
    assert "1,001 secrets" in repr(caught.value.details)
    with pytest.raises(InvalidInput):
        vault.import_(person(), "# nothing\n", "dotenv")


# -- moved and damaged rows -------------------------------------------------------------------------------------------


def _row(safe_entities: object, account: str, name: str, now: int) -> Entity:
    found = safe_entities.get(AccountId(account), KIND, f"secret/{name}", now)  # type: ignore[attr-defined]  # a store
    assert isinstance(found, Entity)
    return found


MOVES = {
    "tenant-10": lambda row: replace(row, account=AccountId("b")),
    "tenant-11": lambda row: replace(row, id="secret/OTHER"),
    "another purpose": lambda row: replace(row, id="webhook/A"),
    "another version": lambda row: replace(row, body=orjson.dumps(orjson.loads(row.body) | {"v": 7})),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_a_moved_ciphertext_does_not_decrypt(move: object) -> None:
    """To another account, another name, another use, another version."""
    safe = make_safe()
    safe.vault.put(person(), "A", CANARY)
    moved = move(_row(safe.entities, "a", "A", safe.clock.now()))  # type: ignore[operator]  # from the table
    safe.entities.put(moved, safe.clock.now())
    purpose, _, name = moved.id.partition("/")
    with pytest.raises(Unreadable):
        safe.box.read(moved.account, purpose, name)
    if move is not MOVES["another version"]:
        assert safe.value("a", "A") == CANARY


@needs_corpus
def test_the_corpus_has_no_other_entry_for_the_vault() -> None:
    """Those that ask for an encryption context are the moves above; the others of `tenant` are the API's."""
    about = {entry["id"] for entry in attacks("corpus.json", "tenant") if "kms" in entry["input"]}
    assert about == {name for name in MOVES if name.startswith("tenant")}


def test_a_damaged_row_is_listed_and_can_be_set_anew() -> None:
    """It says nothing of itself, and breaks nothing else."""
    safe = make_safe()
    safe.vault.put(person(), "A", CANARY)
    safe.vault.put(person(), "B", CANARY)
    row = _row(safe.entities, "a", "A", safe.clock.now())
    for body in (b"", b"{}", b"\xff", orjson.dumps(orjson.loads(row.body) | {"c": "*"})):
        safe.entities.put(replace(row, body=body), safe.clock.now())
        with pytest.raises(Unreadable, match="secret/A is damaged"):
            safe.value("a", "A")
        assert [(one.name, one.version) for one in safe.vault.list(person())] == [("A", 0), ("B", 1)]
    safe.vault.put(person(), "A", "set again")
    assert safe.value("a", "A") == "set again"


# -- reading ----------------------------------------------------------------------------------------------------------


class CountingRing:
    """A key ring that counts what it decrypts."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.decrypted = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def decrypt(self, sealed: bytes, context: dict[str, str]) -> bytes:
        self.decrypted += 1
        return self._inner.decrypt(sealed, context)  # type: ignore[attr-defined,no-any-return]  # a ring


def test_a_value_is_decrypted_once_in_a_while() -> None:
    """For five minutes or a thousand reads it comes from memory."""
    safe = make_safe()
    ring = CountingRing(safe.keys)
    box = SecretBox(safe.entities, ring, safe.clock)  # type: ignore[arg-type]  # a ring by __getattr__
    safe.vault.put(person(), "A", CANARY)
    for _ in range(CACHE_USES + 1):
        box.read(AccountId("a"), "secret", "A")
    assert ring.decrypted == 1
    box.read(AccountId("a"), "secret", "A")
    assert ring.decrypted == 2
    safe.turn(299_999)
    box.read(AccountId("a"), "secret", "A")
    assert ring.decrypted == 2
    safe.turn(1)
    box.read(AccountId("a"), "secret", "A")
    assert ring.decrypted == 3


def test_what_is_kept_in_memory_is_bounded() -> None:
    """However many secrets are read."""
    safe = make_safe()
    for number in range(100):
        safe.vault.put(person(), f"K{number}", "x" * LARGEST)
        safe.value("a", f"K{number}")
    assert safe.box._cache._size <= CACHE_BYTES


def test_the_last_use_is_noted_now_and_then() -> None:
    """Not more often than every five minutes."""
    safe = make_safe()
    start = safe.clock.now()
    safe.vault.put(person(), "A", CANARY)
    assert safe.vault.get(person(), "A").used_at is None
    safe.value("a", "A")
    assert safe.vault.get(person(), "A").used_at == start
    rev = _row(safe.entities, "a", "A", start).rev
    safe.turn(299_999)
    safe.value("a", "A")
    assert _row(safe.entities, "a", "A", start).rev == rev
    safe.turn(1)
    safe.value("a", "A")
    assert safe.vault.get(person(), "A").used_at == start + 300_000


def test_the_local_account_also_has_the_environment() -> None:
    """The vault goes first; other accounts never see it."""
    safe = make_safe()
    local = LocalSecrets({"FLOWRUNNER_SECRET_A": "from env", "FLOWRUNNER_SECRET_B": "from env"})
    secrets = VaultSecrets(safe.box, local, AccountId("local"))
    safe.vault.put(person("local"), "A", "from vault")
    assert secrets.read(AccountId("local"), "A") == "from vault"
    assert secrets.read(AccountId("local"), "B") == "from env"
    assert secrets.names(AccountId("local")) == ["A", "B"]
    assert secrets.names(AccountId("a")) == []
    with pytest.raises(SecretMissing):
        secrets.read(AccountId("a"), "B")
    with pytest.raises(SecretMissing):
        secrets.read(AccountId("local"), "C")


def test_a_read_is_recorded_once_per_run_and_secret() -> None:
    """Under the run's name."""
    safe = make_safe()
    reads = SecretReads(lambda: safe.audit)
    for run, name in (("r1", "A"), ("r1", "A"), ("r1", "B"), ("r2", "A")):
        reads(AccountId("a"), RunId(run), name)
    found = safe.audit.list(person(), after=0).records
    assert [(one.who, one.action, one.target) for one in found] == [
        ("run:r1", "secret.read", "A"),
        ("run:r1", "secret.read", "B"),
        ("run:r2", "secret.read", "A"),
    ]


# -- data keys --------------------------------------------------------------------------------------------------------


def test_values_of_runs_are_sealed_by_a_key_of_the_account() -> None:
    """It is made once, opens for the account and place only, and is gone with the account."""
    safe = make_safe()
    a, b = AccountId("a"), AccountId("b")
    here, there = DataKeys(safe.box, safe.clock), DataKeys(SecretBox(safe.entities, safe.keys, safe.clock), safe.clock)
    sealed = here.seal(a, b"value", "run/1")
    assert there.open(a, sealed, "run/1") == b"value"
    assert here.open(a, there.seal(a, b"other", "run/2"), "run/2") == b"other"
    there.seal(b, b"x", "run/1")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for account, text, place in (
        (a, sealed, "run/2"),
        (b, sealed, "run/1"),
        (a, changed, "run/1"),
        (a, b"", "run/1"),
        (a, sealed[:5], "run/1"),
        (a, b"\x02" + sealed[1:], "run/1"),
    ):
        with pytest.raises(Unreadable):
            here.open(account, text, place)
    safe.entities.delete_account(a)
    safe.turn(300_000)
    with pytest.raises(Unreadable, match="data key is gone"):
        here.open(a, sealed, "run/1")
    assert safe.vault.list(person("b")) == [], "a data key is no secret of the account"


def test_two_processes_make_one_data_key() -> None:
    """Whoever is late takes what is there."""
    safe = make_safe()
    a = AccountId("a")
    other = DataKeys(SecretBox(safe.entities, safe.keys, safe.clock), safe.clock)
    sealed: list[bytes] = []

    class Late(SecretBox):
        """In the moment before its write another process makes the key."""

        def put(self, *args: object, **options: object) -> object:  # type: ignore[override]  # passes all on
            sealed.append(other.seal(a, b"first", "p"))
            return super().put(*args, **options)  # type: ignore[arg-type]  # passes all on

    late = DataKeys(Late(safe.entities, safe.keys, safe.clock), safe.clock)
    assert other.open(a, late.seal(a, b"second", "p"), "p") == b"second"
    assert late.open(a, sealed[0], "p") == b"first"


def test_a_row_that_others_always_change_is_given_up() -> None:
    """With an error that says to try again, not by going round for ever."""
    safe = make_safe()
    safe.vault.put(person(), "A", CANARY)

    class Busy:
        """A store in which somebody else always wins."""

        def __getattr__(self, name: str) -> object:
            return getattr(safe.entities, name)

        def put(self, *args: object, **options: object) -> None:
            return None

    box = SecretBox(Busy(), safe.keys, safe.clock)  # type: ignore[arg-type]  # a store by __getattr__
    with pytest.raises(StoreError):
        box.put(AccountId("a"), "secret", "A", b"other")
