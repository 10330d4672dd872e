"""A plugin whose import tries to end the process."""

raise SystemExit("goodbye")
