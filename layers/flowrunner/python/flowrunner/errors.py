"""The error tree: every failure the product can name, with a stable code for machines.

A class docstring is the default message. `code` is the stable name that users, the API and flows (`retry.on`)
see; `details` are plain JSON values. Errors of a step (`StepError`) are data to the engine: they are recorded in
the step and routed along `error` edges. Everything else is reported to whoever made the call.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FlowrunnerError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "ERROR"

    def __init__(self, message: str | None = None, *, hint: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        self.details: dict[str, Any] = details
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(FlowrunnerError):
    """The input is not valid."""

    code = "VALIDATION_ERROR"


class NotFound(FlowrunnerError):
    """There is no such thing."""

    code = "NOT_FOUND"


class Conflict(FlowrunnerError):
    """The present state does not allow this."""

    code = "CONFLICT"


class Unauthenticated(FlowrunnerError):
    """Sign in, or send a valid token."""

    code = "UNAUTHENTICATED"


class Forbidden(FlowrunnerError):
    """You may not do this."""

    code = "FORBIDDEN"


class PreconditionFailed(FlowrunnerError):
    """Somebody else changed it meanwhile."""

    code = "PRECONDITION_FAILED"


class TooLarge(FlowrunnerError):
    """What was sent is larger than the limit."""

    code = "TOO_LARGE"


class UnsupportedMediaType(FlowrunnerError):
    """The content type or encoding of what was sent is not understood."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class TooManyRequests(FlowrunnerError):
    """Too many requests; wait before the next one.

    `retry_after` is the wait in whole seconds, at least 1 (RFC 9110, 10.2.3).
    """

    code = "TOO_MANY_REQUESTS"

    def __init__(
        self, message: str | None = None, *, retry_after: int = 1, hint: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, hint=hint, **details)
        self.retry_after = max(1, retry_after)


class QuotaExceeded(TooManyRequests):
    """The account has used up its quota."""

    code = "QUOTA_EXCEEDED"


class UnreadableRun(FlowrunnerError):
    """What is stored of the run is in a format that this program does not know."""

    code = "RUN_UNREADABLE"


class ConfigurationError(FlowrunnerError):
    """The configuration is not valid."""

    code = "CONFIGURATION_ERROR"


class StoreError(FlowrunnerError):
    """The store could not be reached or refused the operation; trying again may help."""

    code = "STORE_ERROR"


class ValueLost(StoreError):
    """A stored value is gone from the store, or is not what was stored; trying again does not help."""

    code = "VALUE_LOST"


class UnreadableMessage(FlowrunnerError):
    """A message of the queue is none of ours, or was written by a newer flowrunner."""

    code = "UNREADABLE_MESSAGE"


class DeploymentFailed(FlowrunnerError):
    """The deployment did not succeed."""

    code = "DEPLOYMENT_FAILED"


class StepError(FlowrunnerError):
    """A step failed.

    `code` may be given per error (`HttpStatus:503`); `retryable` says whether a retry policy without an `on` list
    tries again; `retry_after` is the wait in seconds that the other side asked for (RFC 9110, 10.2.3).
    """

    code = "STEP_FAILED"
    retryable: bool = False

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, hint=hint, **details)
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may carry a more exact code than its class
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after


class NodeTimeout(StepError):
    """The node did not end within its timeout."""

    code = "NodeTimeout"
    retryable = True


class ParamsInvalid(StepError):
    """The node's parameters are not valid."""

    code = "PARAMS_INVALID"


class ValueTooLarge(StepError):
    """A value is larger than the limit."""

    code = "VALUE_TOO_LARGE"


class SecretMissing(StepError):
    """The secret does not exist."""

    code = "SECRET_MISSING"


class Unreadable(StepError):
    """What is encrypted cannot be read: it was changed or moved, or its key is missing."""

    code = "SECRET_UNREADABLE"


class Ambiguous(StepError):
    """The step may have run before a crash and is marked at_most_once, so it is not run again."""

    code = "AMBIGUOUS"


class CrashLoop(StepError):
    """The step was started several times and never ended: its worker died each time."""

    code = "CRASH_LOOP"


class EngineError(StepError):
    """The engine could not execute the step, however often it tried."""

    code = "ENGINE_ERROR"


class EgressDenied(StepError):
    """The address may not be reached from a flow."""

    code = "EGRESS_DENIED"


class NodeCrashed(StepError):
    """The node raised an error that it does not document."""

    code = "NODE_CRASHED"
