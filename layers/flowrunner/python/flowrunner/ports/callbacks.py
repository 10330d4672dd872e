"""The inbox of waiting steps: who may answer them, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId, StepId


@dataclass(frozen=True, slots=True)
class CallbackRow:
    """A waiting step's address for the outside. Only the SHA-256 of the token is stored."""

    token_hash: str
    account: AccountId
    run: RunId
    step: StepId
    attempt: int
    created_at: Millis
    payload: Json = None
    delivered: bool = False


class Callbacks(Protocol):
    """The inbox of waiting steps."""

    def register(self, row: CallbackRow) -> None:
        """Store; a row of the same run, step and attempt takes the place of the one before."""
        ...

    def find(self, token_hash: str) -> CallbackRow | None: ...

    def deliver(self, token_hash: str, payload: Json) -> bool:
        """Put the payload in; False if there is no such token or a payload was delivered before."""
        ...

    def inbox(self, account: AccountId, run: RunId, step: StepId) -> CallbackRow | None:
        """The row of the step's last attempt that has one, delivered or not."""
        ...
