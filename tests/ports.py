"""Ports for servers that cannot be told to take any: nobody else takes them between now and the server's start.

They are below those that the system hands out for outgoing connections, and every process of the tests notes the ones it
has given away for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

FIRST, LAST = 20_000, 30_000
FOLDER = Path(tempfile.gettempdir()) / f"flowrunner-ports-{os.getuid()}"

_held: list[IO[str]] = []
_chance = random.SystemRandom()


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other test will be given."""
    FOLDER.mkdir(exist_ok=True)
    for port in _chance.sample(range(FIRST, LAST), 1_000):
        note = (FOLDER / str(port)).open("w")
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            note.close()
            continue
        _held.append(note)
        return port
    raise AssertionError("a thousand ports, and all of them taken")
