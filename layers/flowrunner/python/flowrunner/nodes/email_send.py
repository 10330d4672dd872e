"""Sending mail."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import ValueTooLarge
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.fields import Duration
from flowrunner.nodes.mail_message import (
    MAX_BYTES,
    MAX_RECIPIENTS,
    Attachment,
    Draft,
    MailAddress,
    MailAddresses,
    check_headers,
    compose,
    message_id,
    parse_address,
)
from flowrunner.nodes.mail_server import Line, SmtpServer


class EmailSendParams(Params):
    """Parameters of `email.send`."""

    server: SmtpServer = Field(description="{host, port, tls, username, password}; tls is starttls, tls or none.")
    from_: MailAddress = Field(alias="from", description="`ada@example.com` or `Ada Lovelace <ada@example.com>`.")
    to: MailAddresses = Field([], description="An address, or a list of them.")
    cc: MailAddresses = Field([], description="As `to`.")
    bcc: MailAddresses = Field([], description="As `to`; not in the message.")
    reply_to: MailAddresses = Field([], description="As `to`.")
    subject: Line = Field("", max_length=2_000, description="One line.")
    text: str | None = Field(None, description="The message as plain text.")
    html: str | None = Field(
        None, description="The message as HTML, sent as given; with `text`, the better form of it."
    )
    attachments: list[Attachment] = Field(
        [],
        max_length=100,
        description="{filename, content, content_type, cid}; the content a text or {$bytes: base64}.",
    )
    headers: Annotated[dict[str, str], AfterValidator(check_headers)] = Field(
        default_factory=dict, max_length=50, description="Others, like In-Reply-To and References."
    )
    timeout: Duration = Field(
        60_000, gt=0, description="For all of it; like 500ms or 1m, or in seconds.", json_schema_extra={"default": "1m"}
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not 1 <= len(self.recipients) <= MAX_RECIPIENTS:
            raise ValueError(f"give 1 to {MAX_RECIPIENTS} recipients in `to`, `cc` and `bcc` together")
        if self.text is None and self.html is None and not self.attachments:
            raise ValueError("give `text`, `html` or `attachments`")
        return self

    @property
    def recipients(self) -> list[str]:
        """All addresses, each once."""
        return list(dict.fromkeys(parse_address(one).addr_spec for one in (*self.to, *self.cc, *self.bcc)))


class EmailSendOutput(Output):
    """That it was taken."""

    message_id: str = Field(description="The same on every retry of the step.")
    accepted: list[str] = Field(description="The recipients that the server took it for.")
    refused: list[Json] = Field(description="The others: {address, code, message} each.")


class EmailSendNode(NodeType[EmailSendParams]):
    """Sends a message by SMTP.

    Text and HTML together are sent as two forms of the same message. An attachment with a `cid` is an image that the
    HTML shows as `<img src="cid:…">`. Expressions make templates of `subject`, `text` and `html`; what they put into
    HTML is not escaped. Line ends in `subject`, addresses and headers are refused with `PARAMS_INVALID`.

    The connection is secured by STARTTLS, or from the first byte on port 465, and the certificate has to be valid for
    the host; a password is never sent in clear. Like all connections it goes through the egress guard
    (`EGRESS_DENIED`), but to any port.

    The step succeeds when the server takes the message for at least one recipient; the others are in `refused`. Its
    refusal fails the step with `SmtpRejected:<code>`, of which 4xx are retryable; a wrong password with `SmtpAuth`; no
    connection, or a broken one, with `ConnectFailed` (retryable, unless TLS is the reason) or `NodeTimeout`
    (retryable); more than 25 MiB with `VALUE_TOO_LARGE`. When the connection breaks after the message was sent and
    before the answer came, a retry sends it again, with the same `Message-ID`, by which many servers notice.
    """

    name = "email.send"
    params = EmailSendParams
    output = EmailSendOutput
    category = "people"
    icon = "mail"
    example = """\
type: email.send
params:
  server: {host: smtp.example.com, username: robot@example.com, password: "${secrets.SMTP_PASSWORD}"}
  from: Orders <robot@example.com>
  to: ${input.email}
  subject: Order ${input.order_id} has shipped
  text: |
    Hello ${input.name},
    your order is on its way.
"""

    def execute(self, ctx: Context[EmailSendParams]) -> Result:
        from flowrunner.nodes.mail_smtp import deliver, refusals

        params = ctx.params
        identity = message_id(params.from_, ctx.run.idempotency_key)
        draft = Draft(
            sender=params.from_,
            to=params.to,
            cc=params.cc,
            reply_to=params.reply_to,
            subject=params.subject,
            text=params.text,
            html=params.html,
            attachments=params.attachments,
            headers=params.headers.items(),
        )
        content = compose(draft, identity, ctx.now())
        if len(content) > MAX_BYTES:
            raise ValueTooLarge(
                f"the message has {len(content):,} bytes with its attachments; {MAX_BYTES:,} is the most"
            )
        refused = deliver(
            ctx.dialer,
            params.server,
            parse_address(params.from_).addr_spec,
            params.recipients,
            content,
            seconds=min(params.timeout / 1000, ctx.time_left()),
            allow=ctx.egress,
        )
        return Result(
            {
                "message_id": identity,
                "accepted": [one for one in params.recipients if one not in refused],
                "refused": refusals(refused),
            }
        )
