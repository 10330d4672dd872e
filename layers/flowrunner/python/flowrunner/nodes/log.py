"""Saying something."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Params, Result

MAX_MESSAGE = 16_384
"""Characters of a line; what is longer belongs into `data`."""


class LogParams(Params):
    message: Json = Field("", description="The text; any other value is shown as JSON.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much it matters.")
    data: Json = Field(None, description="Kept beside the message.")


class LogNode(NodeType[LogParams]):
    """Writes a line to the run's log. Secrets that the run has read are masked.

    The output is `{message, level, data, input}`; along the edge goes the node's input, so that a log can
    stand between two nodes. A message is cut at 16,384 characters.
    """

    name = "log"
    params = LogParams
    category = "people"
    icon = "scroll-text"
    payload = "input"
    pure = True
    quick = True
    example = """\
type: log
params: {message: "Hello ${input.name}", level: info}
"""

    def execute(self, ctx: Context[LogParams]) -> Result:
        params = ctx.params
        text = params.message
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False)
        message = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}… ({len(text):,} characters)"
        ctx.log(message, params.level, params.data)
        return Result({"message": message, "level": params.level, "data": params.data, "input": ctx.input})
