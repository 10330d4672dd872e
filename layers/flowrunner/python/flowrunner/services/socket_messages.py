"""The messages of a WebSocket: what a client says, and what it is told. `api.websocket` has the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import FlowrunnerError, InvalidInput, StoreError
from flowrunner.ports.push import MOST_BYTES
from flowrunner.services.live_frames import Frame

MOST_SUBSCRIPTIONS = 100
MOST_MESSAGE = 16 * 1024

ACCOUNT = "account"
"""The name of the subscription to all runs; that of a run is its id."""


class Message(BaseModel):
    """Something that a client says."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Auth(Message):
    type: Literal["auth"]
    token: str = Field(max_length=256)


class Subscribe(Message):
    type: Literal["subscribe"]
    run: str | None = Field(None, min_length=1, max_length=64)
    account: Literal[True] | None = None
    steps: bool = False
    last_event_id: str | None = Field(None, max_length=256)


class Unsubscribe(Message):
    type: Literal["unsubscribe"]
    run: str | None = Field(None, min_length=1, max_length=64)
    account: Literal[True] | None = None


class Ping(Message):
    type: Literal["ping"]


Said = Auth | Subscribe | Unsubscribe | Ping

_MESSAGES: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="type")])


def name_of(message: Subscribe | Unsubscribe) -> str:
    """The subscription that a message is about. Raises `InvalidInput`."""
    if (message.run is None) == (message.account is None):
        raise InvalidInput('name one thing: {"run": "…"} or {"account": true}')
    return ACCOUNT if message.run is None else message.run


def shown(name: str) -> Mapping[str, Any]:
    """A subscription as messages name it."""
    return {"account": True} if name == ACCOUNT else {"run": name}


def parse_message(text: str) -> Said:
    """A message of the client. Raises `InvalidInput`."""
    try:
        return _MESSAGES.validate_python(parse_json(text.encode("utf-8", "surrogatepass")))
    except BadJson as error:
        raise InvalidInput(f"a message is a JSON object: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{place or 'the message'}: {first['msg']}") from None


def event_message(name: str, frame: Frame) -> bytes:
    """An event to a subscription."""
    where = orjson.dumps(shown(name))[1:-1]
    position = b"" if name == ACCOUNT else b',"last_event_id":"%b"' % str(frame.position).encode("ascii")
    return b'{"type":"event",%b%b,"event":%b}' % (where, position, frame.json)


def error_message(error: FlowrunnerError, name: str | None = None) -> Mapping[str, Any]:
    """An error as a message. Those of the store say nothing of it."""
    text = "the store cannot be reached; try again" if isinstance(error, StoreError) else str(error)
    where = shown(name) if name is not None else {}
    return {"type": "error", **where, "code": error.code, "message": text}


def encoded(message: Mapping[str, Any], name: str | None = None) -> bytes:
    """A message as it is sent, with the subscription that it is about."""
    return orjson.dumps({**message, **(shown(name) if name is not None else {})})


def unsubscribed(name: str, reason: str) -> bytes:
    """The end of a subscription."""
    return orjson.dumps({"type": "unsubscribed", **shown(name), "reason": reason})


def sized_event(name: str, frame: Frame) -> bytes:
    """An event that fits into a message of a gateway: of a larger one all but its data, to be read over HTTP."""
    message = event_message(name, frame)
    if len(message) <= MOST_BYTES:
        return message
    document = {key: value for key, value in orjson.loads(frame.json).items() if key != "data"}
    position = {} if name == ACCOUNT else {"last_event_id": str(frame.position)}
    return orjson.dumps({"type": "event", **shown(name), **position, "event": document, "cut": True})
