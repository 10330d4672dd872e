"""Everything in memory: for `flowrunner run` on a file, for tests, and as the plainest reading of ports."""
