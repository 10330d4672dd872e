"""The function `scheduler`: what is due each minute."""

from __future__ import annotations

import os

from flowrunner.functions.scheduler import make_handler

handler = make_handler(os.environ)
