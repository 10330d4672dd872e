"""The function `websocket`: connections that wait for live events."""

from __future__ import annotations

import os

from flowrunner.functions.starting import quick_start

with quick_start():
    from flowrunner.functions.websocket import make_handler

    handler = make_handler(os.environ)
