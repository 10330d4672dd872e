"""Doors for texts of other kinds: JSON bodies, schedules, JSONPath, mail, imported secrets, messages of a WebSocket, bodies of
hooks, and what people write in single fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
from flowrunner.core.addresses import parse_address, parse_origin
from flowrunner.core.durations import MAX_DURATION, format_duration, parse_duration
from flowrunner.core.json_text import MAX_DEPTH, BadJson, parse_json
from flowrunner.core.sizes import parse_size
from flowrunner.core.times import iso_time, parse_time
from flowrunner.errors import InvalidInput, StepError, TooLarge
from flowrunner.nodes import json_parse
from flowrunner.nodes.jsonpath import faults, mark, select
from flowrunner.nodes.mail_message import parse_address as parse_mailbox
from flowrunner.nodes.mail_reading import read_message
from flowrunner.services.cron import LAST_MOMENT, check_timing
from flowrunner.services.flow_records import parse_label
from flowrunner.services.hook_values import answer_of, fields_of, read_body, seen_headers
from flowrunner.services.names import same_name, title, user_name
from flowrunner.services.secret_import import ImportFormat, name_problem, parse_secrets, value_problem
from flowrunner.services.socket_messages import Subscribe, Unsubscribe, name_of, parse_message

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words

START = 1_767_225_600_000
"""2026-01-01."""
DAY = 86_400_000


def body(data: bytes) -> str:
    """JSON from strangers: what is taken is the same to another reader, and can be written again."""
    outcome = _node_json(data)
    try:
        value = parse_json(data)
    except BadJson as refused:
        told(str(refused), "a refusal without words")
        return outcome
    told(orjson.loads(data.removeprefix(b"\xef\xbb\xbf")) == value, "another reader sees another value")
    told(
        _exact(parse_json(orjson.dumps(value))) == _exact(value), "a value is another one when it was written and read"
    )
    told(_levels(value) <= MAX_DEPTH, "deeper than it may be")
    return ACCEPTED


def _node_json(data: bytes) -> str:
    try:
        value = json_parse.parse_json(data.decode("utf-8", "replace"))
    except StepError as refused:
        told(refused.code == "JSON_INVALID", "a failure of another kind")
        return REFUSED
    orjson.dumps(value)
    return ACCEPTED


def schedule(data: bytes) -> str:
    """A cron expression (or, after an @, a moment), and a time zone on the second line."""
    text, _, zone = data.decode("utf-8", "replace").partition("\n")
    cron, at = (None, text[1:]) if text.startswith("@2") else (text, None)
    try:
        timing = check_timing(cron, at, zone or "UTC")
    except InvalidInput as refused:
        told(refused.details["problems"], "a refusal without a problem")
        return REFUSED
    moments = timing.upcoming(START, 4)
    told(
        moments == sorted(set(moments)) and all(START < moment < LAST_MOMENT for moment in moments),
        "moments out of order",
    )
    told(cron is None or moments, "a schedule that never fires was taken")
    if moments:
        told(timing.next(moments[0] - 1) == moments[0], "the next moment depends on where one looks from")
        told(timing.latest(START, moments[0]) == moments[0], "the last moment is not the one that came")
    return ACCEPTED


def path(data: bytes) -> str:
    """A JSONPath on the first line, and the value that it selects from."""
    text, _, rest = data.decode("utf-8", "replace").partition("\n")
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        value = {"a": [{"b": 1, "c": "x"}, {"b": 2}], "c": {"a": None}}
    wrong = list(faults(mark({"p": [text]})))
    try:
        found = select(text, value)
    except StepError as refused:
        told(refused.code == "JSONPATH_ERROR" and refused.message, "a failure of another kind")
        return REFUSED
    told(not wrong or "${" in text, "a path that was found wrong selects something")
    json.dumps(found)
    return ACCEPTED


def mail(data: bytes) -> str:
    """A message as it comes in."""
    try:
        read = read_message(data)
    except ValueError as refused:
        told(str(refused), "a refusal without words")
        return REFUSED
    orjson.dumps(read)
    told(not any(char in (read["subject"] or "") for char in "\r\n\0"), "a subject of several lines")
    return ACCEPTED


def secrets(data: bytes) -> str:
    """Secrets from dotenv or JSON: no problem shows a value."""
    text = data.decode("utf-8", "replace")
    formats: tuple[ImportFormat, ...] = ("dotenv", "json")
    outcomes = {_secrets(text, one) for one in formats}
    return ACCEPTED if ACCEPTED in outcomes else REFUSED


def _secrets(text: str, how: ImportFormat) -> str:
    try:
        found = parse_secrets(text, how)
    except (InvalidInput, TooLarge) as refused:
        told("CANARY-" not in str(refused) + json.dumps(refused.details), "a refusal shows a value")
        return REFUSED
    for name, value in found.items():
        told(name_problem(name) is None and value_problem(value) is None, "a secret that cannot be one was taken")
    return ACCEPTED


def socket(data: bytes) -> str:
    """What a client says over a WebSocket."""
    try:
        said = parse_message(data.decode("utf-8", "replace"))
        if isinstance(said, Subscribe | Unsubscribe):
            told(name_of(said), "a subscription without a name")
    except InvalidInput as refused:
        told(str(refused), "a refusal without words")
        return REFUSED
    return ACCEPTED


def hook(data: bytes) -> str:
    """A hook's body after a line with its content type; it is its query, its headers and a flow's answer as well."""
    kind, _, content = data.partition(b"\n")
    outcome = ACCEPTED
    try:
        value = read_body(kind.decode("latin-1"), content)
        orjson.dumps(fields_of(content.decode("latin-1"), "query"))
    except InvalidInput:
        value, outcome = {"status": 200, "headers": {"x-a": content.decode("latin-1")}, "body": None}, REFUSED
    orjson.dumps(value)
    answer = answer_of(value)
    told(
        200 <= answer.status <= 599 and answer.headers["Content-Security-Policy"] == "sandbox",
        "an answer with an origin",
    )
    for name, text in answer.headers.items():
        told(text.isascii() and not set("\r\n\0") & set(name + text), "an answer with a header of two lines")
    told("authorization" not in seen_headers({"authorization": "x", "x-a": "b"}, None), "a flow sees credentials")
    return outcome


def field(data: bytes) -> str:
    """Durations, sizes, moments, names, labels, addresses: each is taken or refused with words."""
    text = data.decode("utf-8", "replace")
    readers: tuple[Callable[[str], Any], ...] = (
        _duration,
        parse_size,
        _moment,
        parse_origin,
        parse_address,
        parse_mailbox,
    )
    taken = 0
    for reader in readers:
        try:
            reader(text)
            taken += 1
        except ValueError as refused:
            told(str(refused), "a refusal without words")
        except OverflowError:
            told(reader is _moment, "a number that is too large")
    for naming in (user_name, title, parse_label):
        try:
            name = naming(text)
            taken += 1
        except InvalidInput:
            continue
        told(naming is parse_label or naming(name) == name, "a name that is kept is another one when it is given")  # type: ignore[arg-type]  # of the three only parse_label gives no text
    same_name(text)
    return ACCEPTED if taken else REFUSED


def _duration(text: str) -> None:
    millis = parse_duration(text)
    told(0 <= millis <= MAX_DURATION and format_duration(millis), "a duration outside of its limits")


def _moment(text: str) -> None:
    moment = parse_time(text)
    if 0 <= moment < LAST_MOMENT:
        told(parse_time(iso_time(moment)) == moment, "a moment is another one when it was written")


def _exact(value: Any) -> str:
    return json.dumps(value)


def _levels(value: Any) -> int:
    level, depth = [value], 0
    while level := [
        item
        for one in level
        if isinstance(one, dict | list)
        for item in (one.values() if isinstance(one, dict) else one)
    ]:
        depth += 1
    return depth


_JSON = words(
    '{"a": "b" [1] {} , : \\u0000 \\ud83d \\ude00 \\" 1.5 -0 1E400 1e-400 00 tru falsE "a":1,"a":2 \\/ [[[[ ]]]] "$bytes"'
)
_CRON = words(
    "* */5 0 59 60 1-5 5-1 1,2 L 5L 1#2 W ? JAN MON-FRI sun 7 29 30 31 2 @2030-01-31T09:00:00Z +14:00 @daily Europe/Berlin UTC "
    "America/New_York Asia/Kolkata ../etc/passwd posix/UTC Australia/Lord_Howe 0 24",
    b" ",
    b"\n",
)
_PATH = words(
    "$ . .. * [0] [-1] [::] [1:2:-1] ['a'] [\"b\"] [?@.a] [?@.a==1] @ && || ! == != < match( search( length( count( value( "
    "'(a+)+$' [?match(@.c,'x.*')] , ( ) $..*..* ~ # ^ -> ..[?(@.b>1)] \\u0061",
    b"\n",
    b'\n{"a":[1,{"b":2}]}',
)
_MAIL = words(
    "From: To: Subject: Date: Content-Type: multipart/mixed; boundary= text/plain text/html charset= utf-8 utf-7 =?utf-8?b? ?= =?q? "
    "message/rfc822 Content-Transfer-Encoding: base64 quoted-printable uuencode Content-Disposition: attachment; filename*=utf-8'' "
    'filename*0= -- <a@b> "x" ( ) =3D =?? rot13 idna punycode unicode_escape',
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
)
_SECRETS = words(
    'A= export KEY=\'CANARY-VALUE\' "CANARY VALUE" # \\n \\ {"A":"CANARY-CANARY"} = ${A} `x`', b"\n", b"\t", b" "
)
_SOCKET = _JSON + words(
    '"type": "auth" "subscribe" "unsubscribe" "ping" "run": "account":true "steps":true "token": "last_event_id":'
)
_HOOK = words(
    "application/json application/x-www-form-urlencoded text/plain; charset=utf-8 charset=utf-16 +json multipart/form-data a=b&c=d "
    '%ff + & = {"status":200,"headers":{"x-a":"b"},"body":"c"} "location": "set-cookie": {"$bytes":"AA=="}',
    b"\n",
    b"\\r\\n",
)
_FIELD = words(
    '5s 1.5h 500ms 400d 401d 2030-01-31T09:00:00Z 64KiB https:// example.com [::1] :80 /p <a@b.c> Ada "x" @ , team=growth = '
    "\u202e \u200b \u0130 \ufb01 \u1e9e \u0345 \u0300 +00:00 -99:99 9999-12-31T23:59:59.999999Z 24:00 W01"
)

TARGETS = (
    Target("json", body, _JSON),
    Target("schedule", schedule, _CRON, pace=4),
    Target("jsonpath", path, _PATH, pace=3),
    Target("mail", mail, _MAIL, pace=6),
    Target("secrets", secrets, _SECRETS, pace=3),
    Target("socket", socket, _SOCKET),
    Target("hook", hook, _HOOK, pace=2),
    Target("field", field, _FIELD, pace=3),
)
