"""The function `stream`: what follows from commits."""

from __future__ import annotations

import os

from flowrunner.functions.starting import quick_start

with quick_start():
    from flowrunner.functions.stream import make_handler

    handler = make_handler(os.environ)
