"""Errors as answers: one shape, made here and nowhere else.

`{"error": {"code", "message", "details", "correlation_id"}}`; `details` lists what was wrong with which field, or is
an object of facts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from flowrunner.core.problems import Problem
from flowrunner.errors import (
    Conflict,
    FlowrunnerError,
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    StoreError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    ValueLost,
)
from flowrunner.language.errors import InvalidFlow

log = logging.getLogger("flowrunner.api")

STATUS: tuple[tuple[type[FlowrunnerError], int], ...] = (
    (InvalidInput, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (PreconditionFailed, 412),
    (TooLarge, 413),
    (UnsupportedMediaType, 415),
    (TooManyRequests, 429),
    (ValueLost, 410),
    (StoreError, 503),
)
"""The status of each error; what is not here is a fault of ours, 500."""

MAX_DETAILS = 100
"""Problems of a request that are told."""

NAMES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="A stable name for machines.", examples=["NOT_FOUND"])
    message: str = Field(description="For people: what is wrong, and what to do.")
    details: Any = Field(None, description="A list of {field, message, line, column}, or an object of facts.")
    correlation_id: str = Field(description="The id of this request, also in `X-Correlation-Id` and in the logs.")


class ErrorAnswer(BaseModel):
    """The answer of every request that failed."""

    error: ErrorBody


def install(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    app.add_exception_handler(FlowrunnerError, _known)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, refused)


def correlation_of(request: Request) -> str:
    """The id of the request (`api.middleware` gives it)."""
    return str(request.scope.get("state", {}).get("correlation", ""))


def answer(
    status: int,
    code: str,
    message: str,
    correlation: str,
    details: Any = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error as an answer."""
    body: dict[str, Any] = {"code": code, "message": message}
    if details:
        body["details"] = details
    body["correlation_id"] = correlation
    return JSONResponse({"error": body}, status, dict(headers or {}))


def answer_error(error: FlowrunnerError, correlation: str) -> JSONResponse:
    """One of our errors as an answer. What is not the caller's to know is logged and not said."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="flowrunner"'
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if status >= 500:
        log.error("request failed: %s", error, exc_info=error)
    if status == 503:
        return answer(
            503, error.code, "the store cannot be reached; try again", correlation, None, {"Retry-After": "1"}
        )
    if status == 500:
        return internal(correlation)
    if isinstance(error, ValueLost):
        log.error("%s", error)
        return answer(status, error.code, "a stored value is gone; trying again does not help", correlation)
    if isinstance(error, InvalidFlow):
        details = [_problem(problem) for problem in error.problems]
        return answer(status, error.code, "Invalid flow definition", correlation, details)
    facts: Any = error.details
    if isinstance(facts, dict) and isinstance(facts.get("problems"), list):
        facts = facts["problems"]
    return answer(status, error.code, str(error), correlation, facts, headers)


def _problem(problem: Problem) -> dict[str, Any]:
    hint = f"; did you mean {problem.suggestion!r}?" if problem.suggestion else ""
    return {
        "field": problem.field,
        "message": problem.message + hint,
        "line": problem.line,
        "column": problem.column,
        "suggestion": problem.suggestion,
    }


def internal(correlation: str) -> JSONResponse:
    """A fault of ours, with nothing of its inside."""
    return answer(500, "INTERNAL", "something went wrong on our side; quote the correlation id", correlation)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, FlowrunnerError), "registered for these only"
    return answer_error(error, correlation_of(request))


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for these only"
    found = error.errors()
    details = [{"field": _field(one["loc"]), "message": str(one["msg"])} for one in found[:MAX_DETAILS]]
    return answer(400, InvalidInput.code, "Invalid request", correlation_of(request), details)


async def refused(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path or method, a body that cannot be read."""
    assert isinstance(error, HTTPException), "registered for these only"
    code = NAMES.get(error.status_code, InvalidInput.code)
    if error.status_code == 404:
        return answer(404, code, "there is no such thing", correlation_of(request))
    return answer(error.status_code, code, str(error.detail), correlation_of(request), None, error.headers)


def _field(loc: Sequence[Any]) -> str:
    """`body.input.a[0]`, from where pydantic found it."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
