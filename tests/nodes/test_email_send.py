"""The node email.send, against a real SMTP server and against ones that misbehave."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes import mail_smtp
from flowrunner.nodes.email_send import EmailSendNode
from flowrunner.nodes.registry import Registry
from pydantic import ValidationError

from tests.attacks import attacks
from tests.certificates import Certificate, make_certificate
from tests.engine.harness import bench
from tests.mail import HOST, MailServer, ScriptedServer, dialer
from tests.nodes.context import NOW, RUN, context

NODE = EmailSendNode()
PASSWORD = "correct horse"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def server(certificate: Certificate) -> Iterator[MailServer]:
    """Offers STARTTLS, and takes mail from robot only."""
    with MailServer(certificate.server(), users={"robot": PASSWORD}) as server:
        yield server


def params(port: int, **given: Any) -> dict[str, Any]:
    login = {"username": "robot", "password": PASSWORD}
    where = {"host": HOST, "port": port, **login, **given.pop("server", {})}
    where = {name: value for name, value in where.items() if value is not None}
    return {
        "server": where,
        "from": "Shop <shop@mail.example>",
        "to": "ada@mail.example",
        "subject": "Hi",
        "text": "Hello",
        **given,
    }


def send(port: int, trusted: Path | None = None, *, egress: Any = (), left: float = 60.0, **given: Any) -> Any:
    ctx = context(NODE, params(port, **given), dialer=dialer(trusted), egress=egress, left=left)
    result = NODE.execute(ctx)
    return result.output


ANONYMOUS: dict[str, Json] = {"username": None, "password": None}


def test_sends_under_starttls_after_a_login(server: MailServer, certificate: Certificate) -> None:
    """The message comes whole, with an id by which a second sending is recognised."""
    output = send(server.port, certificate.certificate, subject="Grüße aus Köln " * 20, text="Hej då\r\n.\nend")
    again = send(server.port, certificate.certificate)
    first, second = server.mails
    assert (first.login, first.secure, first.sender, first.recipients) == (
        "robot",
        True,
        "shop@mail.example",
        ["ada@mail.example"],
    )
    assert output == {
        "message_id": f"<{RUN.idempotency_key}@mail.example>",
        "accepted": ["ada@mail.example"],
        "refused": [],
    }
    assert again["message_id"] == output["message_id"] == first.message["Message-ID"] == second.message["Message-ID"]
    assert first.message["From"] == "Shop <shop@mail.example>"
    assert first.message["Subject"] == ("Grüße aus Köln " * 20)
    assert first.message["Date"].datetime.timestamp() * 1000 == NOW
    assert first.message.get_content().splitlines() == ["Hej då", ".", "end"]
    assert first.content.isascii()


def test_sends_under_tls_from_the_first_byte(certificate: Certificate) -> None:
    """With `tls: tls`, on whatever port."""
    with MailServer(certificate.server(), implicit=True) as server:
        send(server.port, certificate.certificate, server={"tls": "tls", **ANONYMOUS})
    assert [mail.secure for mail in server.mails] == [True]


def test_copies_and_who_is_hidden(server: MailServer, certificate: Certificate) -> None:
    """Everybody gets it once; bcc stands nowhere in it."""
    output = send(
        server.port,
        certificate.certificate,
        to=["Ada <ada@mail.example>", '"Byron, G." <b@mail.example>'],
        cc="c@mail.example",
        bcc=["hidden@mail.example", "ada@mail.example"],
        reply_to="Frågor <r@mail.example>",
        headers={"In-Reply-To": "<1@x>", "References": " ".join(f"<{'x' * 80}{n}@x>" for n in range(20))},
    )
    mail = server.mails[0]
    everybody = ["ada@mail.example", "b@mail.example", "c@mail.example", "hidden@mail.example"]
    assert mail.recipients == output["accepted"] == everybody
    assert b"hidden" not in mail.content
    assert [one.display_name for one in mail.message["To"].addresses] == ["Ada", "Byron, G."]
    assert mail.message["Cc"] == "c@mail.example"
    assert mail.message["Reply-To"] == "Frågor <r@mail.example>"
    assert mail.message["In-Reply-To"] == "<1@x>"
    assert mail.message["References"].split() == [f"<{'x' * 80}{n}@x>" for n in range(20)]
    assert b"=?" not in mail.content.partition(b"References")[2].partition(b"\r\nFrom")[0]


def test_text_html_images_and_files(server: MailServer, certificate: Certificate) -> None:
    """multipart/mixed of multipart/alternative, whose HTML is related to its image."""
    image = {"filename": "logo.png", "content": {"$bytes": base64.b64encode(PNG).decode()}, "cid": "logo"}
    files = [
        {"filename": "übersicht.csv", "content": "a;ü\n"},
        {"filename": "raw", "content": {"$bytes": "AAEC"}},
        {"filename": "x.txt", "content": "\ud800", "content_type": "text/html; charset=utf-8"},
    ]
    send(server.port, certificate.certificate, html='<img src="cid:logo">', attachments=[image, *files])
    message = server.mails[0].message
    assert message.get_content_type() == "multipart/mixed"
    alternative, *attached = message.iter_parts()
    assert [part.get_content_type() for part in alternative.iter_parts()] == ["text/plain", "multipart/related"]
    shown = list(alternative.iter_parts())[1]
    html, logo = shown.iter_parts()
    assert html.get_content().strip() == '<img src="cid:logo">'
    assert (logo["Content-ID"], logo.get_content_disposition(), logo.get_content()) == ("<logo>", "inline", PNG)
    assert [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in attached] == [
        ("übersicht.csv", "text/csv", "a;ü\n".encode()),
        ("raw", "application/octet-stream", b"\0\1\2"),
        ("x.txt", "text/html", b"?"),
    ]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"html": "<b>ü</b>", "text": None}, "text/html"),
        ({"text": "x"}, "text/plain"),
        ({"text": None, "attachments": [{"filename": "a.txt", "content": "a", "cid": "a"}]}, "multipart/mixed"),
        (
            {"text": None, "html": "x", "attachments": [{"filename": "a.png", "content": "a", "cid": "a"}]},
            "multipart/related",
        ),
    ],
)
def test_no_more_parts_than_needed(
    server: MailServer, certificate: Certificate, given: dict[str, Any], kind: str
) -> None:
    """One form of a message is no multipart."""
    send(server.port, certificate.certificate, **given)
    assert server.mails[0].message.get_content_type() == kind


def test_lines_with_dots_and_long_lines_arrive(server: MailServer, certificate: Certificate) -> None:
    """Whatever the text, no line of the message is too long for SMTP, and a dot ends nothing."""
    lines = [".", "..", "x" * 5_000, "ü" * 3_000, ".QUIT"]
    send(server.port, certificate.certificate, text="\n".join(lines))
    assert server.mails[0].message.get_content().splitlines() == lines
    assert max(map(len, server.mails[0].content.splitlines())) <= 998


def test_a_server_on_this_machine_needs_no_tls() -> None:
    """Left out, STARTTLS is used where it is offered; in clear only on loopback."""
    with MailServer() as server:
        send(server.port, server=ANONYMOUS)
        send(server.port, server={"tls": "none", **ANONYMOUS})
        with pytest.raises(StepError, match="offers no STARTTLS") as caught:
            send(server.port, server={"tls": "starttls", **ANONYMOUS})
    assert len(server.mails) == 2
    assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", False)


def test_a_password_is_not_sent_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when clear is wanted, nor when a server elsewhere offers no STARTTLS."""
    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", False)
    with MailServer(users={"robot": PASSWORD}) as server:
        with pytest.raises(ParamsInvalid, match="in clear"):
            send(server.port, server={"tls": "none"})
        with pytest.raises(StepError, match="offers no STARTTLS"):
            send(server.port)
    assert server.mails == []


def test_a_certificate_has_to_be_valid(server: MailServer, certificate: Certificate) -> None:
    """For whom nobody vouches, or of another name, gets neither password nor mail, and no retry."""
    with pytest.raises(StepError, match="certificate is not valid") as caught:
        send(server.port)
    assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", False)
    with pytest.raises(StepError, match="certificate is not valid"):
        send(server.port, certificate.certificate, server={"host": "127.0.0.1"})
    assert server.mails == []


def test_a_wrong_password(server: MailServer, certificate: Certificate) -> None:
    """Its own code, no retry, and nothing of it is shown."""
    with pytest.raises(StepError) as caught:
        send(server.port, certificate.certificate, server={"password": "hunter2"})
    assert (caught.value.code, caught.value.retryable) == ("SmtpAuth", False)
    assert "535 5.7.8" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.details}"
    with pytest.raises(ParamsInvalid, match="ASCII") as caught:
        send(server.port, certificate.certificate, server={"password": "pässword"})
    assert "pässword" not in str(caught.value)


@pytest.mark.parametrize(
    ("refusals", "code", "retryable"),
    [
        ({"shop@mail.example": "553 5.7.1 Sender address rejected: not owned by user"}, "SmtpRejected:553", False),
        ({"shop@mail.example": "451 4.3.0 later"}, "SmtpRejected:451", True),
        ({"ada@mail.example": "550 5.1.1 No such user"}, "SmtpRejected:550", False),
        ({"ada@mail.example": "450 4.2.0 Greylisted"}, "SmtpRejected:450", True),
        ({"DATA": "554 5.7.1 Spam"}, "SmtpRejected:554", False),
        ({"DATA": "452 4.3.1 Full"}, "SmtpRejected:452", True),
    ],
)
def test_refusals(certificate: Certificate, refusals: dict[str, str], code: str, retryable: bool) -> None:
    """The code is in the error's, its text in the message; only 4xx are worth another try."""
    with MailServer(certificate.server(), refusals=refusals) as server, pytest.raises(StepError) as caught:
        send(server.port, certificate.certificate, server=ANONYMOUS)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert next(iter(refusals.values())) in str(caught.value)
    assert server.mails == []


def test_some_recipients_are_refused(certificate: Certificate) -> None:
    """The others have it, so the step succeeds and says who has not."""
    refusals = {"b@mail.example": "550 5.1.1 No such user"}
    with MailServer(certificate.server(), refusals=refusals) as server:
        output = send(server.port, certificate.certificate, server=ANONYMOUS, to=["a@mail.example", "b@mail.example"])
    assert output["accepted"] == server.mails[0].recipients == ["a@mail.example"]
    assert output["refused"] == [{"address": "b@mail.example", "code": 550, "message": "5.1.1 No such user"}]


def test_nobody_is_accepted(certificate: Certificate) -> None:
    """One who may be accepted later makes the step worth another try."""
    refusals = {"a@mail.example": "550 5.1.1 No", "b@mail.example": "450 4.2.0 Later"}
    with MailServer(certificate.server(), refusals=refusals) as server, pytest.raises(StepError) as caught:
        send(server.port, certificate.certificate, server=ANONYMOUS, to=[*refusals])
    assert (caught.value.code, caught.value.retryable) == ("SmtpRejected:450", True)
    assert [one["address"] for one in caught.value.details["refused"]] == [*refusals]


GREETING = b"220 hi\r\n"


def _always(answer: bytes | None, greeting: bytes | None = GREETING) -> Any:
    return lambda line: greeting if line is None else answer


def _starttls(line: bytes | None) -> bytes:
    """Offers it, and then goes on in clear."""
    if line is not None and line.lower().startswith(b"ehlo"):
        return b"250-x\r\n250 STARTTLS\r\n"
    return b"220 go on, just as before\r\n"


@pytest.mark.parametrize(
    ("answers", "code", "retryable"),
    [
        (_always(None), "ConnectFailed", True),
        (_always(None, None), "ConnectFailed", True),
        (_always(b"500 what\r\n"), "SmtpRejected:500", False),
        (_always(b"", b"421 4.3.2 closing\r\n"), "SmtpRejected:421", True),
        (_always(b"", b"HTTP/1.1 400 Bad Request\r\n"), "ConnectFailed", True),
        (_always(b"250 " + b"x" * 100_000 + b"\r\n"), "SmtpRejected:500", False),
        (_starttls, "ConnectFailed", False),
    ],
)
def test_servers_that_speak_no_smtp(answers: Any, code: str, retryable: bool) -> None:
    """Each is an error that flows can act on."""
    with ScriptedServer(answers) as server, pytest.raises(StepError) as caught:
        send(server.port, server=ANONYMOUS)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


@pytest.mark.parametrize("answer", [b"", repeat(b"2"), repeat(b"250-x\r\n")], ids=["silent", "drips", "endless"])
def test_the_time_is_for_all_of_it(answer: Any) -> None:
    """A server that says nothing, or a little now and then, or never comes to an end, is given up."""

    def talk(line: bytes | None) -> Any:
        return GREETING if line is None else answer

    began = time.monotonic()
    with ScriptedServer(talk) as server, pytest.raises((NodeTimeout, ValueTooLarge, StepError)) as caught:
        send(server.port, server=ANONYMOUS, timeout="300ms")
    assert caught.value.code in ("NodeTimeout", "VALUE_TOO_LARGE", "SmtpRejected:500")
    assert time.monotonic() - began < 60


def test_the_step_may_have_less_time() -> None:
    """What the step has left is the limit when it is shorter."""
    with ScriptedServer(_always(b"")) as server, pytest.raises(NodeTimeout, match=r"within 0\.2 s"):
        send(server.port, server=ANONYMOUS, left=0.2)


def test_an_endless_answer_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any server has to say is given up."""
    monkeypatch.setattr(mail_smtp, "MAX_ANSWERS", 1_000)
    with ScriptedServer(_always([b"250-x\r\n"] * 1_000)) as server, pytest.raises(ValueTooLarge):  # type: ignore[arg-type]  # a list of pieces
        send(server.port, server=ANONYMOUS)


def test_a_server_that_repeats_the_password_tells_nobody(certificate: Certificate) -> None:
    """The text of a refused login is not shown."""

    def talk(line: bytes | None) -> bytes:
        if line is None:
            return GREETING
        if line.lower().startswith(b"ehlo"):
            return b"250-x\r\n250 AUTH PLAIN\r\n"
        return b"535 you said " + line

    with ScriptedServer(talk) as server, pytest.raises(StepError) as caught:
        send(server.port)
    secret = base64.b64encode(b"\0robot\0" + PASSWORD.encode()).decode()
    assert any(secret.encode() in line for line in server.lines)
    assert caught.value.code == "SmtpAuth"
    assert secret not in f"{caught.value} {caught.value.details} {caught.value.hint}"


def test_no_login_that_we_know() -> None:
    """A server without AUTH cannot be logged in to."""
    with ScriptedServer(_always(b"250 x\r\n")) as server, pytest.raises(StepError, match="no login") as caught:
        send(server.port)
    assert caught.value.code == "ConnectFailed"


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "/var/run/socket", "::1", "a b", "a@b"])
def test_only_what_is_open_is_reached(host: str) -> None:
    """Each connection is checked by the egress guard."""
    with pytest.raises(EgressDenied):
        send(25, server={"host": host, **ANONYMOUS})


def test_the_egress_list_narrows_it() -> None:
    """The lists of flow and node hold here, too."""
    with MailServer() as server, pytest.raises(EgressDenied, match="allow"):
        send(server.port, server=ANONYMOUS, egress=[["smtp.example.com"]])
    assert server.mails == []


def test_a_message_that_is_too_large_is_not_sent(server: MailServer, certificate: Certificate) -> None:
    """The limit is for the message as it goes over the wire; one below it arrives."""
    big = {"filename": "a.bin", "content": {"$bytes": base64.b64encode(bytes(19 << 20)).decode()}}
    with pytest.raises(ValueTooLarge, match="26,214,400"):
        send(server.port, certificate.certificate, attachments=[big])
    fits = {"filename": "a.bin", "content": {"$bytes": base64.b64encode(bytes(4 << 20)).decode()}}
    send(server.port, certificate.certificate, attachments=[fits])
    assert len(next(iter(server.mails[0].message.iter_attachments())).get_content()) == 4 << 20


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"subject": "x\r\nBcc: e@x"}, "subject: has the character '\\\\r'"),
        ({"subject": "x\u2028y"}, "subject"),
        ({"from": "a@x\nX: 1"}, "from"),
        ({"from": "a\x00@x"}, "from"),
        ({"to": "Ada\r\n <a@x>"}, "to"),
        ({"to": "a@x, b@x"}, "list"),
        ({"to": "Ada, Bob <a@x>"}, "double quotes"),
        ({"to": "a@x> RCPT TO:<b@x"}, "to"),
        ({"to": "<a@x"}, "to"),
        ({"to": "ada"}, "no mail address"),
        ({"to": "ada@"}, "no mail address"),
        ({"to": "ä@x.example"}, "no mail address"),
        ({"to": "a@x..example"}, "no mail address"),
        ({"to": "a" * 250 + "@x.example"}, "no mail address"),
        ({"to": []}, "1 to 100 recipients"),
        ({"to": None}, "1 to 100 recipients"),
        ({"to": [f"a{n}@x" for n in range(60)], "bcc": [f"b{n}@x" for n in range(41)]}, "1 to 100 recipients"),
        ({"text": None}, "`text`, `html` or `attachments`"),
        ({"headers": {"Bcc": "e@x"}}, "header Bcc"),
        ({"headers": {"content-type": "text/html"}}, "header content-type"),
        ({"headers": {"X": "1\r\nY: 2"}}, "headers"),
        ({"headers": {"X\r\nY": "1"}}, "no header name"),
        ({"headers": {"X": "ü"}}, "ASCII"),
        ({"headers": {"X": "x" * 901}}, "very long words"),
        ({"attachments": [{"filename": "a\nb", "content": "x"}]}, "filename"),
        ({"attachments": [{"filename": "a", "content": 7}]}, "text or"),
        ({"attachments": [{"filename": "a", "content": "x", "content_type": "x\r\ny"}]}, "no type of a file"),
        ({"attachments": [{"filename": "a", "content": "x", "content_type": "multipart/mixed"}]}, "no type of a file"),
        ({"attachments": [{"filename": "a", "content": "x", "cid": "a>b"}]}, "cid"),
        ({"attachments": ["a"] * 101}, "attachments"),
        ({"server": {"password": None}}, "both `username` and `password`"),
        ({"server": {"port": 0}}, "port"),
        ({"server": {"tls": "ssl"}}, "tls"),
    ],
)
def test_parameters_that_are_refused(given: dict[str, Any], says: str) -> None:
    """Before anything is connected to, with the place of the mistake."""
    with pytest.raises(ParamsInvalid, match=says):
        Registry([]).validate("email.send", params(25, **given))


def test_no_base64() -> None:
    """Found when the message is made."""
    with pytest.raises(ParamsInvalid, match=r"attachments\[0\].content"):
        send(25, attachments=[{"filename": "a", "content": {"$bytes": "!"}}])


@pytest.mark.parametrize(
    ("server", "place", "mode"),
    [
        ({}, 587, "starttls"),
        ({"port": 465}, 465, "tls"),
        ({"port": 2525}, 2525, "starttls"),
        ({"tls": "tls"}, 465, "tls"),
        ({"tls": "none"}, 25, "none"),
        ({"tls": "starttls", "port": 465}, 465, "starttls"),
    ],
)
def test_ports_and_tls(server: dict[str, Any], place: int, mode: str) -> None:
    """Each follows from the other."""
    read = NODE.params.model_validate(params(25, server={"port": None, **server}))
    assert (read.server.place, read.server.mode) == ((HOST, place), mode)


@pytest.mark.parametrize("attack", attacks("corpus.json", "email"), ids=lambda one: one["id"])
def test_the_corpus(attack: dict[str, Any], certificate: Certificate) -> None:
    """Headers are not split, no file is read, HTML is sent as given; and who may send is the server's to say, which
    knows whose login it was.
    """
    given = dict(attack["input"])
    if "attachment" in given:
        given["attachments"] = [{"filename": "a", "content": given["attachment"]}]
        with pytest.raises(ParamsInvalid):
            Registry([]).validate("email.send", params(25, attachments=[given.pop("attachment")]))
    refusals = {"ceo@other-domain.example": "553 5.7.1 Sender address rejected: not owned by user"}
    with MailServer(certificate.server(), refusals=refusals) as server:
        if attack["expect"].startswith("reject"):
            expected = StepError if "from" in given else ValidationError
            with pytest.raises(expected):
                send(server.port, certificate.certificate, server=ANONYMOUS, **given)
            assert server.mails == []
        else:
            send(server.port, certificate.certificate, server=ANONYMOUS, **given)
            html = server.mails[0].message.get_body(("html",))
            assert html is not None
            assert html.get_content().strip() == given["html"]


FLOW = """
metadata: {name: mail}
nodes:
  tell:
    type: email.send
    params: {server: {host: 127.0.0.1, port: "${input}"}, from: a@x.example, to: b@x.example, text: hi}
"""


def test_an_engine_without_a_dialer_reaches_nothing() -> None:
    """The node fails as for any address that is not open."""
    with bench(dialer=None) as one:
        run = one.run(FLOW, 25)
        assert run.error is not None
        assert run.error["code"] == "EGRESS_DENIED"


def test_through_the_engine() -> None:
    """The engine's own dialer sends, once the address is open."""
    with MailServer() as server, bench(allow=["127.0.0.1"]) as one:
        assert one.run(FLOW, server.port).status == "completed"
    assert [mail.recipients for mail in server.mails] == [["b@x.example"]]
