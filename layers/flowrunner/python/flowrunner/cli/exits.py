"""Errors as messages, and exit codes.

0 ok, 1 a failed run, 2 usage, 3 an invalid flow, 4 not found or not allowed, 5 the store or the server.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import re
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer

from flowrunner.errors import ConfigurationError, FlowrunnerError, InvalidInput, NotFound, StoreError

P = ParamSpec("P")
R = TypeVar("R")

MAX_FILE = 4 * 1024 * 1024
"""Read of a file at most; the loader refuses far smaller flows, but says so itself."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What writing ends with when the disk is full or broken."""


class ExitCode(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    NOT_FOUND = 4
    SERVER = 5


class UsageError(FlowrunnerError):
    """The command was called in a way that it does not understand."""

    code = "USAGE"


class RemoteError(FlowrunnerError):
    """The server refused, or could not be reached."""

    code = "REMOTE"

    def __init__(self, message: str, exit_code: ExitCode, *, status: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
        self.status = status


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turn our errors into a message on standard error and an exit code; anything else is a bug and shows itself."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            try:
                return command(*args, **kwargs)
            finally:
                sys.stdout.flush()  # here, where it can be told that it failed
        except FlowrunnerError as error:
            print_error(error)
            raise typer.Exit(exit_code(error)) from None
        except BrokenPipeError:
            # Whoever read our output has had enough.
            sys.stderr.close()
            raise typer.Exit(ExitCode.OK) from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            with contextlib.suppress(OSError):
                sys.stdout.close()  # or it would be tried once more, and fail once more, at the end
            print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
            raise typer.Exit(ExitCode.FAILED) from None

    return wrapper


def exit_code(error: FlowrunnerError) -> ExitCode:
    """The exit code that an error means."""
    from flowrunner.language.errors import InvalidFlow

    match error:
        case RemoteError():
            return error.exit_code
        case InvalidFlow():
            return ExitCode.INVALID
        case NotFound():
            return ExitCode.NOT_FOUND
        case StoreError():
            return ExitCode.SERVER
        case InvalidInput() | UsageError() | ConfigurationError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED


def print_error(error: FlowrunnerError) -> None:
    from flowrunner.language.errors import InvalidFlow

    text = str(error)
    prefix = "" if isinstance(error, InvalidFlow) else "error: "
    print(f"{prefix}{escape(text)}", file=sys.stderr)


UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What `escape` makes visible."""


def escape(text: str) -> str:
    """Text from others for a terminal: what could move the cursor, fake a line or turn letters round is shown."""
    return UNSAFE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def read_flow_file(path: Path, most: int = MAX_FILE) -> bytes:
    """The content of a file, `most` bytes of it. Raises `NotFound` or `UsageError` with why it cannot be read."""
    if str(path) == "-":
        return sys.stdin.buffer.read(most)
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name a file in it") from None
    except PermissionError:
        raise NotFound(f"{path} may not be read by this user") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def option(value: Any, name: str, parse: Callable[[Any], Any]) -> Any:
    """A parsed option. Raises `UsageError` naming it."""
    try:
        return parse(value)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}") from None
