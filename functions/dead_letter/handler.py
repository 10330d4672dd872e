"""The function `dead-letter`: messages that were delivered too often."""

from __future__ import annotations

import os

from flowrunner.functions.starting import quick_start

with quick_start():
    from flowrunner.functions.dead_letter import make_handler

    handler = make_handler(os.environ)
