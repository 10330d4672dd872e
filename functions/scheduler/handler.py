"""The function `scheduler`: what is due each minute."""

from __future__ import annotations

import os

from flowrunner.functions.starting import quick_start

with quick_start():
    from flowrunner.functions.scheduler import make_handler

    handler = make_handler(os.environ)
