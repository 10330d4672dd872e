"""Synthesizes deployments in a process of its own: `synthesize.py folder`, with the contexts as JSON on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Write each deployment into a folder of its name."""
    from infra.app import make_app

    for name, context in json.load(sys.stdin).items():
        make_app(context, str(Path(sys.argv[1]) / name)).synth()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    main()
