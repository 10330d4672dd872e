"""Telling people."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.http_errors import status_error
from flowrunner.nodes.http_sending import USER_AGENT, json_text
from flowrunner.nodes.mail_message import (
    MAX_RECIPIENTS,
    Draft,
    MailAddress,
    MailAddresses,
    compose,
    message_id,
    parse_address,
)
from flowrunner.nodes.mail_server import SmtpServer, one_line
from flowrunner.ports.http import HttpRequest

CHANNELS = ("slack", "email", "webhook")
SECRETS = {"slack": "${secrets.SLACK_WEBHOOK_URL}", "email": "${secrets.SMTP_URL}"}
"""Where the address is, unless it is given."""
TIMEOUT_SECONDS = 15.0
MAX_ANSWER = 64 * 1024
SHOWN_BYTES = 1024


class NotificationParams(Params):
    """Parameters of `notification`."""

    channel: Literal["slack", "email", "webhook"] = Field(
        description="slack: a message by an incoming webhook; email: a mail; webhook: JSON to a URL."
    )
    message: str = Field(min_length=1, max_length=40_000, description="The text; for slack in its mrkdwn.")
    url: str = Field(
        min_length=1,
        max_length=8192,
        description="slack: left out, the secret SLACK_WEBHOOK_URL; email: smtp://user:password@host:587, left out the "
        "secret SMTP_URL; webhook: required.",
    )
    title: str | None = Field(
        None, max_length=1_000, description="slack: shown in bold above the message; email: the subject."
    )
    blocks: list[Json] | None = Field(None, max_length=50, description="slack: Block Kit blocks.")
    data: Json = Field(None, description="webhook: sent beside the message.")
    to: MailAddresses = Field([], max_length=MAX_RECIPIENTS, description="email: an address, or a list of them.")
    from_: MailAddress | None = Field(None, alias="from", description="email: the sender.")

    @field_validator("channel", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value not in CHANNELS:
            raise ValueError(f"there is no channel {str(value)[:40]!r}; the channels are {', '.join(CHANNELS)}")
        return value

    @model_validator(mode="after")
    def _mail(self) -> Self:
        if self.channel == "email" and (not self.to or self.from_ is None):
            raise ValueError("the channel email needs `from` and `to`")
        if self.channel != "email" and (self.to or self.from_ is not None):
            raise ValueError("`from` and `to` are for the channel email")
        if self.channel == "email" and self.title is not None:
            one_line(self.title)
        return self


class NotificationOutput(Output):
    """That it was taken."""

    channel: str
    status: int = Field(description="As the server answered; email: 250.")


class NotificationNode(NodeType[NotificationParams]):
    """Sends a message to people: to Slack, by mail, or as JSON to a URL.

    A Slack message goes to an incoming webhook, whose address is a credential: it is read from the secret
    `SLACK_WEBHOOK_URL` unless `url` says otherwise. The channel `webhook` posts
    `{title, message, data, run, flow, node}`. Only a 2xx answer is success; another status fails the step
    with `HttpStatus:<n>`, of which 408, 425, 429 and 5xx are retryable.

    A mail is plain text, and goes to the server whose address is in the secret `SMTP_URL`; it is sent as by
    `email.send`, which can do more, and fails with the same codes.
    """

    name = "notification"
    params = NotificationParams
    output = NotificationOutput
    category = "people"
    icon = "bell"
    slow = False
    example = """\
type: notification
params: {channel: slack, message: "Order ${input.order_id} has shipped"}
"""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        channel = params.get("channel")
        if isinstance(channel, str) and channel in SECRETS and not params.get("url"):
            return {**params, "url": SECRETS[channel]}
        return params

    def execute(self, ctx: Context[NotificationParams]) -> Result:
        params = ctx.params
        if params.channel == "email":
            return _mailed(ctx)
        response = ctx.http.send(
            HttpRequest(
                method="POST",
                url=params.url.strip(),
                headers=(
                    ("Content-Type", "application/json"),
                    ("User-Agent", USER_AGENT),
                    ("Idempotency-Key", ctx.run.idempotency_key),
                ),
                content=json_text(_slack(params) if params.channel == "slack" else _plain(ctx)).encode(),
                timeout=min(TIMEOUT_SECONDS, ctx.time_left()),
                max_bytes=MAX_ANSWER,
                allow=ctx.egress,
            )
        )
        if not 200 <= response.status < 300:
            raise status_error(response, ctx.now(), SHOWN_BYTES)
        return Result({"channel": params.channel, "status": response.status})


def _mailed(ctx: Context[NotificationParams]) -> Result:
    from flowrunner.nodes.mail_smtp import deliver

    params = ctx.params
    sender = params.from_ or ""
    draft = Draft(sender=sender, to=params.to, subject=params.title or ctx.run.flow, text=params.message)
    deliver(
        ctx.dialer,
        SmtpServer.from_url(params.url),
        parse_address(sender).addr_spec,
        list(dict.fromkeys(parse_address(one).addr_spec for one in params.to)),
        compose(draft, message_id(sender, ctx.run.idempotency_key), ctx.now()),
        seconds=min(TIMEOUT_SECONDS, ctx.time_left()),
        allow=ctx.egress,
    )
    return Result({"channel": "email", "status": 250})


def _slack(params: NotificationParams) -> dict[str, Json]:
    """An incoming webhook's payload; beside blocks the text is what notifications show."""
    text = f"*{params.title}*\n{params.message}" if params.title else params.message
    return {"text": text, "blocks": params.blocks} if params.blocks else {"text": text}


def _plain(ctx: Context[NotificationParams]) -> dict[str, Json]:
    params = ctx.params
    return {
        "title": params.title,
        "message": params.message,
        "data": params.data,
        "run": ctx.run.id,
        "flow": ctx.run.flow,
        "node": ctx.node,
    }
