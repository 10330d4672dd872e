"""The error of a document that is no flow."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.core.problems import Problem
from flowrunner.errors import InvalidInput


class InvalidFlow(InvalidInput):
    """The flow is not valid. `problems` holds all that was found, in the order of the document."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))
