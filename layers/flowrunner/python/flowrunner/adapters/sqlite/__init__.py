"""The embedded store: one SQLite file in WAL mode that survives a kill -9 of everything that uses it."""
