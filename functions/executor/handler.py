"""The functions `executor` and `executor-slow`: steps of runs, from the fast and the slow queue."""

from __future__ import annotations

import os

from flowrunner.functions.starting import quick_start

with quick_start():
    from flowrunner.functions.executor import make_handler

    handler = make_handler(os.environ)
