"""The node email.fetch, against Dovecot and against servers that misbehave."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes import email_fetch
from flowrunner.nodes.email_fetch import EmailFetchNode
from flowrunner.nodes.registry import Registry

from tests.certificates import Certificate, make_certificate
from tests.dovecot import PASSWORD, USER, Dovecot, why_not
from tests.engine.harness import bench
from tests.mail import HOST, MailServer, ScriptedServer, dialer
from tests.nodes.context import context

NODE = EmailFetchNode()
WHY_NOT = why_not()
needs_dovecot = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
pytestmark = pytest.mark.xdist_group("dovecot")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture(scope="module")
def running(certificate: Certificate) -> Iterator[Dovecot]:
    with Dovecot(certificate) as server:
        yield server


@pytest.fixture
def server(running: Dovecot) -> Dovecot:
    """With three messages: an invoice, an answer, and one with files."""
    running.fill(
        mail("Invoice 7", "bills@shop.example"),
        mail("Re: Grüße", "Ada <ada@mail.example>", text="köttbullar"),
        with_files(),
    )
    running.fill(folder="Archive")
    return running


def mail(subject: str, sender: str, text: str = "hello", **headers: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "robot@mail.example", subject
    message["Date"] = "Fri, 20 Nov 2026 09:30:00 +0100"
    message["Message-ID"] = f"<{len(subject)}@mail.example>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes()


def with_files() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Cc"] = "Bo <bo@mail.example>", '"R, Obot" <r@x.example>', "c@x.example"
    message["Subject"], message["In-Reply-To"], message["References"] = "files", "<1@x>", "<0@x> <1@x>"
    message.set_content("plain")
    message.add_alternative("<img src='cid:logo'>", subtype="html")
    body = message.get_body(("html",))
    assert isinstance(body, EmailMessage)
    body.add_related(b"PNG", "image", "png", cid="<logo>")
    message.add_attachment(b"\0\1", "application", "octet-stream", filename="ünïcode.bin")
    inner = EmailMessage()
    inner["Subject"] = "inside"
    inner.set_content("not the outer text")
    message.add_attachment(inner)
    return message.as_bytes()


def params(port: int, **given: Any) -> dict[str, Any]:
    where = {"host": HOST, "port": port, "tls": "starttls", "username": USER, "password": PASSWORD}
    where = {**where, **given.pop("server", {})}
    return {"server": {name: value for name, value in where.items() if value is not None}, **given}


def fetch(port: int, trusted: Path | None = None, *, egress: Any = (), cancelled: bool = False, **given: Any) -> Any:
    made = context(NODE, params(port, **given), dialer=dialer(trusted), egress=egress, is_cancelled=cancelled)
    return NODE.execute(made).output


def subjects(output: Any) -> list[str]:
    return [one["subject"] for one in output["messages"]]


@needs_dovecot
def test_what_a_message_has(server: Dovecot, certificate: Certificate) -> None:
    """All parts of it, decoded; nothing is marked."""
    output = fetch(server.port, certificate.certificate)
    first, second, third = output["messages"]
    assert subjects(output) == ["Invoice 7", "Re: Grüße", "files"]
    assert (output["more"], output["skipped"]) == (False, [])
    assert first["from"] == {"name": None, "address": "bills@shop.example"}
    assert (first["date"], first["message_id"]) == ("2026-11-20T08:30:00.000Z", "<9@mail.example>")
    assert (first["text"], first["html"], first["attachments"]) == ("hello\n", None, [])
    assert second["from"] == {"name": "Ada", "address": "ada@mail.example"}
    assert second["text"] == "köttbullar\n"
    assert third["to"] == [{"name": "R, Obot", "address": "r@x.example"}]
    assert third["cc"] == [{"name": None, "address": "c@x.example"}]
    assert (third["in_reply_to"], third["references"], third["date"]) == ("<1@x>", ["<0@x>", "<1@x>"], None)
    assert (third["text"], third["html"]) == ("plain\n", "<img src='cid:logo'>\n")
    image, raw, inner = third["attachments"]
    assert image == {
        "filename": None,
        "content_type": "image/png",
        "size": 3,
        "cid": "logo",
        "content": {"$bytes": base64.b64encode(b"PNG").decode()},
    }
    assert (raw["filename"], raw["content"]) == ("ünïcode.bin", {"$bytes": "AAE="})
    assert inner["content_type"] == "message/rfc822"
    assert b"not the outer text" in base64.b64decode(inner["content"]["$bytes"])
    assert server.flags() == [[], [], []]


@needs_dovecot
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"from": "ada@"}, ["Re: Grüße"]),
        ({"subject": "invoice"}, ["Invoice 7"]),
        ({"subject": "grüße"}, ["Re: Grüße"]),
        ({"text": "köttbullar"}, ["Re: Grüße"]),
        ({"to": "r@x.example"}, ["files"]),
        ({"subject": '" ALL "\\'}, []),
        ({"since": "2020-01-01", "before": "2100-01-01"}, ["Invoice 7", "Re: Grüße", "files"]),
        ({"before": "2020-01-01"}, []),
        ({"seen": True}, []),
        ({"flagged": False, "answered": False, "limit": 1}, ["Invoice 7"]),
        ({"order": "newest", "limit": 2}, ["files", "Re: Grüße"]),
        ({"uids": [4_294_967_295]}, []),
    ],
)
def test_searches(server: Dovecot, certificate: Certificate, given: dict[str, Any], found: list[str]) -> None:
    """Each condition by the server's own search; quotes in one end nothing."""
    output = fetch(server.port, certificate.certificate, **given)
    assert subjects(output) == found
    assert output["more"] == ("limit" in given)


@needs_dovecot
def test_marks_what_was_read(server: Dovecot, certificate: Certificate) -> None:
    """And only that; taken away as it was set."""
    fetch(server.port, certificate.certificate, mark_seen=True, flag=True, limit=1)
    assert server.flags() == [["\\Flagged", "\\Seen"], [], []]
    assert subjects(fetch(server.port, certificate.certificate, seen=False)) == ["Re: Grüße", "files"]
    assert fetch(server.port, certificate.certificate, flagged=True)["messages"][0]["flags"] == ["\\Flagged", "\\Seen"]
    fetch(server.port, certificate.certificate, mark_seen=False, flag=False, seen=True)
    assert server.flags() == [[], [], []]


@needs_dovecot
def test_moves(server: Dovecot, certificate: Certificate) -> None:
    """By uid, to a folder whatever its name; then nothing is left to move."""
    found = fetch(server.port, certificate.certificate, subject="invoice")["messages"][0]["uid"]
    fetch(server.port, certificate.certificate, uids=[found], move_to="Archive")
    assert subjects(fetch(server.port, certificate.certificate, folder="Archive")) == ["Invoice 7"]
    assert subjects(fetch(server.port, certificate.certificate)) == ["Re: Grüße", "files"]
    assert subjects(fetch(server.port, certificate.certificate, folder="Entwürfe")) == []
    assert subjects(fetch(server.port, certificate.certificate, uids=[found], move_to="Archive")) == []


@needs_dovecot
@pytest.mark.parametrize("lacking", ["MOVE", "MOVE UIDPLUS"])
def test_moves_without_the_extension(
    server: Dovecot, certificate: Certificate, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is then deleted."""
    from imaplib import IMAP4

    known = IMAP4.capability

    def fewer(client: IMAP4) -> Any:
        kind, answer = known(client)
        return kind, [b" ".join(one for one in answer[-1].split() if one.decode() not in lacking.split())]

    monkeypatch.setattr(IMAP4, "capability", fewer)
    fetch(server.port, certificate.certificate, subject="invoice", move_to="Archive")
    assert subjects(fetch(server.port, certificate.certificate)) == ["Re: Grüße", "files"]
    assert subjects(fetch(server.port, certificate.certificate, folder="Archive")) == ["Invoice 7"]


@needs_dovecot
def test_deletes_nothing_else(server: Dovecot, certificate: Certificate) -> None:
    """What somebody else has marked for deletion stays."""
    client = server.client()
    client.select()
    client.store("2", "+FLAGS", r"(\Deleted)")
    client.logout()
    fetch(server.port, certificate.certificate, subject="invoice", delete=True)
    fetch(server.port, certificate.certificate, subject="files", mark_seen=True)
    assert server.flags() == [["\\Deleted"], ["\\Seen"]]


@needs_dovecot
def test_limits_on_size(server: Dovecot, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large messages are named, and stay; no more is loaded than is allowed at once."""
    server.fill(
        mail("small", "a@x.example"), mail("large", "a@x.example", text="x" * 5_000), mail("next", "a@x.example")
    )
    output = fetch(server.port, certificate.certificate, max_bytes=4_000, delete=True)
    assert subjects(output) == ["small", "next"]
    assert [one["reason"] for one in output["skipped"]] == ["it is larger than 4,000 bytes"]
    assert len(server.flags()) == 1
    server.fill(*(mail(f"{n}", "a@x.example", text="x" * 3_000) for n in range(4)))
    monkeypatch.setattr(email_fetch, "MAX_TOTAL", 8_000)
    output = fetch(server.port, certificate.certificate, delete=True, max_bytes=4_000)
    assert (subjects(output), output["more"]) == (["0", "1"], True)
    assert len(server.flags()) == 2


@needs_dovecot
def test_without_contents(server: Dovecot, certificate: Certificate) -> None:
    """What is attached is named."""
    output = fetch(server.port, certificate.certificate, subject="files", attachments=False)
    assert [(one["size"] > 0, one["content"]) for one in output["messages"][0]["attachments"]] == [(True, None)] * 3


@needs_dovecot
def test_what_cannot_be_read_is_named(server: Dovecot, certificate: Certificate) -> None:
    """One hostile message hides no other, and stays where it is."""
    bomb = b"Subject: bomb\r\nContent-Type: text/plain" + b';x="' * 5_000 + b"\r\n\r\n"
    server.fill(bomb, mail("good", "a@x.example"))
    output = fetch(server.port, certificate.certificate, mark_seen=True)
    assert subjects(output) == ["good"]
    assert [one["reason"] for one in output["skipped"]] == ["a header about its content is too long"]
    assert server.flags() == [[], ["\\Seen"]]


@needs_dovecot
def test_a_cancelled_run_leaves_everything(server: Dovecot, certificate: Certificate) -> None:
    """It stops between messages, before anything is done to them."""
    with pytest.raises(StepError) as caught:
        fetch(server.port, certificate.certificate, cancelled=True, delete=True)
    assert caught.value.code == "CANCELLED"
    assert len(server.flags()) == 3


@needs_dovecot
def test_under_tls_from_the_first_byte(server: Dovecot, certificate: Certificate) -> None:
    """With `tls: tls`; the certificate has to be valid for the name."""
    assert len(fetch(server.tls_port, certificate.certificate, server={"tls": "tls"})["messages"]) == 3
    for trusted, host in ((None, HOST), (certificate.certificate, "127.0.0.1")):
        for port, mode in ((server.tls_port, "tls"), (server.port, "starttls")):
            with pytest.raises(StepError, match="certificate is not valid") as caught:
                fetch(port, trusted, server={"tls": mode, "host": host})
            assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", False)


@needs_dovecot
@pytest.mark.parametrize("password", ["hunter2", "pässword-hunter2"])
def test_a_wrong_password(server: Dovecot, certificate: Certificate, password: str) -> None:
    """Its own code, no retry, and nothing of it is shown."""
    with pytest.raises(StepError) as caught:
        fetch(server.port, certificate.certificate, server={"password": password})
    assert (caught.value.code, caught.value.retryable) == ("ImapAuth", False)
    assert "hunter2" not in f"{caught.value} {caught.value.details}"


@needs_dovecot
@pytest.mark.parametrize("given", [{"folder": "Nowhere"}, {"move_to": "Nowhere"}])
def test_refusals(server: Dovecot, certificate: Certificate, given: dict[str, Any]) -> None:
    """A folder that is not there; the messages stay."""
    with pytest.raises(StepError, match=r"Nowhere|exist") as caught:
        fetch(server.port, certificate.certificate, **given)
    assert (caught.value.code, caught.value.retryable) == ("ImapRejected", False)
    assert len(server.flags()) == 3


PLAIN: dict[str, Any] = {"tls": None}


def talk(**answers: bytes | None) -> Any:
    """A server that answers commands by name, and others with OK."""

    def answer(line: bytes | None) -> Any:
        if line is None:
            return answers.get("greeting", b"* OK hi\r\n")
        tag, command, *_ = line.split()
        given = answers.get(command.decode().lower(), b"")
        if given is None:
            return None
        if command == b"CAPABILITY":
            given = given or b"* CAPABILITY IMAP4rev1\r\n"
        if given.startswith((b"NO", b"BAD")):
            return tag + b" " + given
        return given + tag + b" OK done\r\n"

    return answer


@pytest.mark.parametrize(
    ("answers", "code", "retryable"),
    [
        ({"greeting": None}, "ConnectFailed", True),
        ({"greeting": b"* BYE full\r\n"}, "ConnectFailed", True),
        ({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, "ConnectFailed", True),
        ({"select": None, "examine": None}, "ConnectFailed", True),
        ({"login": None}, "ConnectFailed", True),
        ({"login": b"BAD you said hunter2\r\n"}, "ImapAuth", False),
        ({"login": b"NO [UNAVAILABLE] hunter2\r\n"}, "ImapAuth", True),
        ({"examine": b"NO [INUSE] locked\r\n"}, "ImapRejected", True),
        ({"examine": b"BAD what\r\n"}, "ImapRejected", False),
        ({"uid": b"NO not now\r\n"}, "ImapRejected", False),
        ({"uid": b"* SEARCH 1\r\n* 1 FETCH (BODY[] {99999999999}\r\n"}, "VALUE_TOO_LARGE", False),
    ],
)
def test_servers_that_misbehave(answers: dict[str, bytes | None], code: str, retryable: bool) -> None:
    """Each is an error that flows can act on, and none shows the password."""
    login = {"username": "robot", "password": "hunter2"}
    with ScriptedServer(talk(**answers)) as server, pytest.raises(StepError) as caught:
        fetch(server.port, server={**PLAIN, **login})
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert "hunter2" not in f"{caught.value} {caught.value.details}"


def test_an_endless_answer_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than messages and what comes with them is given up."""
    monkeypatch.setattr(email_fetch, "MAX_TOTAL", 1_000)
    monkeypatch.setattr(email_fetch, "OVERHEAD", 1_000)
    with ScriptedServer(talk(uid=b"* SEARCH 1\r\n" * 1_000)) as server, pytest.raises(ValueTooLarge):
        fetch(server.port, server=PLAIN)


def test_messages_that_have_gone() -> None:
    """Between search and fetch somebody else may delete them; what is no uid is left out."""
    with ScriptedServer(talk(uid=b"* SEARCH 3 x 1\r\n")) as server:
        output = fetch(server.port, server=PLAIN)
    assert output == {"messages": [], "skipped": [], "more": False}
    assert b"3" in server.lines[-2].split()[3]


def test_the_time_is_for_all_of_it() -> None:
    """A server that says nothing is given up."""
    with ScriptedServer(lambda _: b"") as server, pytest.raises(NodeTimeout):
        fetch(server.port, server=PLAIN, timeout="200ms")


def test_a_password_is_not_sent_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when clear is wanted, nor when a server elsewhere offers no STARTTLS."""
    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", False)
    with ScriptedServer(talk()) as server:
        with pytest.raises(ParamsInvalid, match="in clear"):
            fetch(server.port, server={"tls": "none"})
        for mode in (None, "starttls"):
            with pytest.raises(StepError, match="no STARTTLS"):
                fetch(server.port, server={"tls": mode})
    assert not any(b"LOGIN" in line for line in server.lines)


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "::1", "/var/run/socket"])
def test_only_what_is_open_is_reached(host: str) -> None:
    """Each connection is checked by the egress guard."""
    with pytest.raises(EgressDenied):
        fetch(143, server={"host": host})
    with pytest.raises(EgressDenied, match="allow"):
        fetch(143, egress=[["imap.example.com"]])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"server": {"password": None}}, "password"),
        ({"server": {"password": "x\r\na LOGOUT"}}, "password"),
        ({"folder": "INBOX\r\na DELETE x"}, "folder"),
        ({"move_to": "a\nb"}, "move_to"),
        ({"subject": "a\r\nb"}, "subject"),
        ({"from": "a\0b"}, "from"),
        ({"since": "yesterday"}, "since"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"uids": ["1:*"]}, "uids"),
        ({"uids": []}, "uids"),
        ({"order": "random"}, "order"),
        ({"delete": True, "move_to": "x"}, "one of `move_to` and `delete`"),
        ({"max_bytes": 1 << 30}, "max_bytes"),
        ({"folders": "x"}, "folders"),
    ],
)
def test_parameters_that_are_refused(given: dict[str, Any], says: str) -> None:
    """Before anything is connected to; no command can be put into another."""
    with pytest.raises(ParamsInvalid, match=says):
        Registry([]).validate("email.fetch", params(143, **given))


@needs_dovecot
def test_the_example_answers_each_message_once(server: Dovecot, certificate: Certificate) -> None:
    """Through the engine: answers go to the senders, in the thread, and a second run finds nothing."""
    text = (Path(__file__).parents[2] / "examples" / "mail-answer.yaml").read_text()
    sending = dialer(certificate.certificate)
    with MailServer(certificate.server()) as smtp, bench(secrets={"IMAP_PASSWORD": PASSWORD}, dialer=sending) as one:
        given = {"host": HOST, "imap_port": server.port, "smtp_port": smtp.port, "username": USER}
        first, second = one.run(text, given), one.run(text, given)
    assert (first.error, second.error) == (None, None)
    assert first.output == {"answered": ["Invoice 7", "Re: Grüße", "files"]}
    assert second.output == {"answered": []}
    answered = sorted(mail.recipients[0] for mail in smtp.mails)
    assert answered == ["ada@mail.example", "bills@shop.example", "bo@mail.example"]
