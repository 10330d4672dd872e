"""The HTTP API: one FastAPI application for both homes. Routes parse, call a service, and shape the answer."""
