"""What a server refused, in words for the terminal and with the exit code that it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flowrunner.cli.exits import ExitCode, RemoteError

if TYPE_CHECKING:
    from httpx2 import Response

HINTS = {
    401: "log in again: flowrunner login",
    429: "wait, then try again",
}


def refusal(response: Response) -> RemoteError:
    """The error that an answer means: the server's message, what is wrong with which field, the correlation id."""
    status = response.status_code
    if response.is_redirect:
        where = response.headers.get("location", "")[:200]
        return RemoteError(f"the server sends elsewhere, to {where}", ExitCode.SERVER, hint="log in at that address")
    error = _error(response)
    if error is None:
        return RemoteError(f"the server answered {status}, and not like a flowrunner server", _exit(status, None))
    message = str(error.get("message") or f"the server answered {status}")
    hint = HINTS.get(status)
    if status == 429 and response.headers.get("retry-after"):
        hint = f"try again in {response.headers['retry-after'][:9]} s"
    if message.endswith(")"):
        hint = None  # it says itself what to do
    lines = [f"{message} ({hint})" if hint else message]
    if not _says_it_all(message, error.get("details")):
        lines += (f"  {line}" for line in problem_lines(error.get("details")))
    if error.get("correlation_id"):
        lines.append(f"  correlation id: {error['correlation_id']}")
    return RemoteError("\n".join(lines), _exit(status, error.get("message")), status=status)


def message_of(response: Response) -> str:
    """What the server says of a refusal, for a line about it."""
    response.read()
    message = str((_error(response) or {}).get("message") or f"the server answered {response.status_code}")
    return message.splitlines()[0]


def problem_lines(details: Any) -> Iterator[str]:
    """Problems as lines with their places; facts are not for people."""
    for one in details if isinstance(details, list) else ():
        if not isinstance(one, dict):
            continue
        field = f"{one['field']}: " if one.get("field") else ""
        place = f"line {one['line']}" if one.get("line") else ""
        place += f", column {one['column']}" if place and one.get("column") else ""
        yield f"{field}{one.get('message', '')}" + (f" ({place})" if place else "")


def _says_it_all(message: str, details: Any) -> bool:
    """Whether the message holds the only problem, so that it need not be told twice."""
    if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
        return False
    problem = details[0].get("message")
    return isinstance(problem, str) and problem in message and not details[0].get("line")


def _error(response: Response) -> dict[str, Any] | None:
    try:
        document = response.json()
    except ValueError:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else None


def _exit(status: int, message: Any) -> ExitCode:
    if message == "Invalid flow definition":
        return ExitCode.INVALID
    match status:
        case 401 | 403 | 404:
            return ExitCode.NOT_FOUND
        case 409 | 412:
            return ExitCode.FAILED
        case 400 | 405 | 408 | 413 | 415:
            return ExitCode.USAGE
        case _:
            return ExitCode.SERVER
