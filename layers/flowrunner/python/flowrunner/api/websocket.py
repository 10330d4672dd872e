"""The WebSocket `/v1/ws`: one connection that watches any number of runs, or all of an account's.

Messages are JSON objects with a `type`. The client proves who it is with a ticket in the URL, good once, or with its
first message; a token never stands in a URL, where proxies write it down. Then:

    → {"type": "subscribe", "run": "…", "last_event_id": "…"}     the run's events from there on, or all
    → {"type": "subscribe", "account": true, "steps": false}      starts and ends of all runs from now on
    → {"type": "unsubscribe", "run": "…"} · {"type": "unsubscribe", "account": true} · {"type": "ping"}
    ← ready · subscribed · event · unsubscribed (with a reason) · error · ping · pong
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from flowrunner.api.live import mailbox, position_of, staying
from flowrunner.api.sse import WRITE_SECONDS
from flowrunner.core.ids import RunId
from flowrunner.errors import (
    Conflict,
    FlowrunnerError,
    InvalidInput,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.live_frames import Frame
from flowrunner.services.live_readers import Subscription
from flowrunner.services.platform import Platform
from flowrunner.services.socket_messages import (
    MOST_MESSAGE,
    MOST_SUBSCRIPTIONS,
    Auth,
    Ping,
    Said,
    Subscribe,
    Unsubscribe,
    error_message,
    event_message,
    name_of,
    parse_message,
    shown,
)

AUTH_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""A connection on which nothing is sent for so long gets a `ping`, for the proxies on the way."""
RECHECK_SECONDS = 10.0
UNAUTHENTICATED = 4401
TOO_LARGE = 1009
TOO_SLOW = 1013
GOING_AWAY = 1001
LAST_WORD_SECONDS = 1.0


async def serve_socket(socket: WebSocket) -> None:
    """Serve one connection to its end."""
    platform: Platform = socket.app.state.platform
    origin, host = socket.headers.get("origin"), socket.headers.get("host", "")
    if origin is not None and not platform.authenticator.own_origin(origin, host):
        await socket.close(UNAUTHENTICATED)  # before it is accepted: the browser sees a 403
        return
    await socket.accept()
    try:
        actor = await _identify(socket, platform)
        if actor is not None:
            await _send(socket, {"type": "ready"})
            await Connection(socket, platform, actor).serve()
    except WebSocketDisconnect:
        return


async def _identify(socket: WebSocket, platform: Platform) -> Actor | None:
    """Who has opened the connection; None if it was closed for that."""
    address = socket.client.host if socket.client else ""
    correlation = str(socket.scope.get("state", {}).get("correlation", ""))
    ticket = socket.query_params.get("ticket")
    try:
        if ticket is not None:
            actor = await run_in_threadpool(platform.tickets.redeem, ticket, address, correlation)
        else:
            async with asyncio.timeout(AUTH_SECONDS):
                message = parse_message(await _receive(socket))
            if not isinstance(message, Auth):
                raise Unauthenticated('the first message has to be {"type": "auth", "token": "…"}')
            given = Credentials(authorization=f"Bearer {message.token}", address=address, correlation=correlation)
            actor = await run_in_threadpool(platform.authenticator.authenticate, given)
        require(actor, Permission.RUNS_READ)
    except TimeoutError:
        await socket.close(UNAUTHENTICATED, "no auth message came in time")
        return None
    except FlowrunnerError as error:
        await _send(socket, error_message(error))
        await socket.close(UNAUTHENTICATED)
        return None
    return actor


class Connection:
    """One client that is known."""

    def __init__(self, socket: WebSocket, platform: Platform, actor: Actor) -> None:
        self._socket = socket
        self._hub = platform.live
        self._actor = actor
        self._stay = staying(platform, actor)
        self._mailbox = mailbox()
        self._readers: dict[str, Subscription] = {}
        self._replays: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        """Held to send events. A page of history is read and sent in one turn, so that what follows stands behind."""

    async def serve(self) -> None:
        """Until the client goes, may not stay, or is too slow."""
        listening = asyncio.create_task(self._listen())
        telling = asyncio.create_task(self._tell())
        watching = asyncio.create_task(self._watch())
        tasks = (listening, telling, watching)
        closed = self._mailbox.closed
        code = GOING_AWAY
        try:
            ends: set[asyncio.Future[Any]] = {*tasks, closed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                code = listening.result()
            elif watching.done():
                code = watching.result()
            elif closed.done() and closed.result() == "slow":
                code = TOO_SLOW
            elif telling.done():
                telling.result()
        except TimeoutError:
            code = TOO_SLOW
        finally:
            for reader in self._readers.values():
                reader.close()
            for task in (*tasks, *self._replays):
                task.cancel()
            await asyncio.gather(*tasks, *self._replays, return_exceptions=True)
        # A client that does not read may not take the close either, or it was faster.
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self._socket.close(code)

    # -- what the client says -----------------------------------------------------------------------------------

    async def _listen(self) -> int:
        """Answer messages; gives the code to close with."""
        while True:
            try:
                message = parse_message(await _receive(self._socket))
            except TooLarge as error:
                await _send(self._socket, error_message(error))
                return TOO_LARGE
            except InvalidInput as error:
                await _send(self._socket, error_message(error))
                continue
            try:
                await self._answer(message)
            except FlowrunnerError as error:
                name = message.run if isinstance(message, Subscribe | Unsubscribe) else None
                await _send(self._socket, error_message(error, name))

    async def _answer(self, message: Said) -> None:
        match message:
            case Ping():
                await _send(self._socket, {"type": "pong"})
            case Subscribe():
                await self._subscribe(message, name_of(message))
            case Unsubscribe():
                reader = self._readers.pop(name_of(message), None)
                if reader is None:
                    raise NotFound("there is no such subscription")
                reader.close()
                await _send(self._socket, {"type": "unsubscribed", **shown(reader.name), "reason": "asked"})
            case Auth():
                raise InvalidInput("you are known already")

    async def _subscribe(self, message: Subscribe, name: str) -> None:
        if name in self._readers:
            raise Conflict("you have this subscription already")
        if len(self._readers) >= MOST_SUBSCRIPTIONS:
            raise TooManyRequests(f"a connection may have {MOST_SUBSCRIPTIONS} subscriptions")
        if message.run is None:
            reader = await run_in_threadpool(
                self._hub.subscribe_account, self._actor, self._mailbox, name, steps=message.steps
            )
        else:
            position = position_of(message.last_event_id, None)
            run = RunId(message.run)
            reader = await run_in_threadpool(self._hub.subscribe, self._actor, run, position, self._mailbox, name)
        self._readers[name] = reader
        await _send(self._socket, {"type": "subscribed", **shown(name)})
        if not reader.caught_up:
            task = asyncio.create_task(self._replay(reader))
            self._replays.add(task)
            task.add_done_callback(self._replays.discard)

    # -- what it is told ----------------------------------------------------------------------------------------

    async def _replay(self, reader: Subscription) -> None:
        """Send the history, page by page."""
        try:
            while not (reader.caught_up or reader.ended or reader.closed):
                async with self._turn:
                    found = await run_in_threadpool(reader.replay)
                    await self._events(reader.name, found)
        except FlowrunnerError as error:
            await _send(self._socket, error_message(error, reader.name))
            await self._over(reader.name, "failed")
            return
        if reader.ended:
            await self._over(reader.name, "ended")

    async def _tell(self) -> None:
        """Send what happens."""
        while True:
            mail = await self._mailbox.take(IDLE_SECONDS)
            if self._mailbox.closed.done():
                return
            if not mail:
                await _send(self._socket, {"type": "ping"})
            for one in mail:
                if one.name not in self._readers:
                    continue
                async with self._turn:
                    await self._events(one.name, one.batch.frames)
                if one.batch.ended:
                    await self._over(one.name, "ended")

    async def _events(self, name: str, found: Sequence[Frame]) -> None:
        for frame in found:
            await _say(self._socket, event_message(name, frame))

    async def _over(self, name: str, reason: str) -> None:
        reader = self._readers.pop(name, None)
        if reader is not None:
            reader.close()
            await _send(self._socket, {"type": "unsubscribed", **shown(name), "reason": reason})

    async def _watch(self) -> int:
        """Look now and then whether the client may stay; gives the code to close with."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            if not await self._stay():
                return UNAUTHENTICATED


async def _receive(socket: WebSocket) -> str:
    """The next message. Raises `TooLarge`, `InvalidInput` for bytes, and `WebSocketDisconnect`."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text: str | None = message.get("text")
    if text is None:
        raise InvalidInput("messages are text, not bytes")
    if len(text) > MOST_MESSAGE:
        raise TooLarge(f"a message may have {MOST_MESSAGE // 1024} KiB")
    return text


async def _send(socket: WebSocket, message: Mapping[str, Any]) -> None:
    await _say(socket, orjson.dumps(message))


async def _say(socket: WebSocket, message: bytes) -> None:
    """Raises `TimeoutError` when the client does not take it."""
    async with asyncio.timeout(WRITE_SECONDS):
        await socket.send_text(message.decode())
