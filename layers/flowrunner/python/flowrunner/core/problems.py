"""What is wrong with a document, in words for its author."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with its place. `field` is a path such as `nodes.fetch.next.error`; line and column count from 1."""

    field: str
    message: str
    line: int | None = None
    column: int | None = None
    severity: Literal["error", "warning"] = "error"
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f" (line {self.line}, column {self.column})" if self.line is not None else ""
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        field = f"{self.field}: " if self.field else ""
        return f"{self.severity}: {field}{self.message}{hint}{where}"
