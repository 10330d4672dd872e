"""The text of a model as events, while it comes."""

from __future__ import annotations

import re
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.nodes.base import Context

EVENT = "token"
EVERY: Millis = 50
"""A listener sees no difference between this and each token by itself, which would be a hundred events a second."""
HELD = 8192
_CUT = re.compile(r"[\s\u0080-\U0010ffff](?=[^\s\u0080-\U0010ffff]*\Z)")


class Tokens:
    """Gathers text and tells it in pieces that end with whole words.

    Events are masked one by one, so a secret that the model repeats must not be cut in two. What has no end of a word
    for very long is told all the same.
    """

    def __init__(self, ctx: Context[Any], attempt: int) -> None:
        self._ctx = ctx
        self._attempt = attempt
        self._held = ""
        self._told: Millis | None = None

    def add(self, text: str) -> None:
        """Take text, and tell what is there when it is time."""
        self._held += text
        now = self._ctx.now()
        if not text or (self._told is not None and now - self._told < EVERY):
            return
        found = _CUT.search(self._held)
        cut = found.end() if found is not None else len(self._held) if len(self._held) > HELD else 0
        if cut:
            self._tell(self._held[:cut])
            self._held, self._told = self._held[cut:], now

    def flush(self) -> None:
        """Tell the rest."""
        if self._held:
            self._tell(self._held)
            self._held = ""

    def _tell(self, text: str) -> None:
        data: dict[str, Json] = {"text": text, "attempt": self._attempt}
        self._ctx.emit(EVENT, data)
