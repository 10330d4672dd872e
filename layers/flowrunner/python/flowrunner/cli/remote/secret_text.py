"""Secret texts from whoever calls: typed without an echo, or from standard input; never arguments, which others see."""

from __future__ import annotations

import sys

from flowrunner.cli.exits import UsageError

LARGEST = 2 * 1024 * 1024


def read_secret(what: str, *, ask: str | None = None, whole: bool = False) -> str:
    """A secret: from a prompt at a terminal, else the first line of standard input, with `whole` all of it.

    One line break at the end is not part of it. Raises `UsageError` for nothing.
    """
    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"{ask or what}: ")
    else:
        raw = sys.stdin.buffer.read(LARGEST) if whole else sys.stdin.buffer.readline(LARGEST)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"the {what} on standard input is not UTF-8 text") from None
        text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError(f"the {what} is empty", hint="type it, or send it on standard input")
    return text
