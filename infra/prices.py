"""Prices for the dashboard's estimate: a copy of those of `flowrunner.services.cloud_costs`, which a test compares.

Dollars for one unit, us-east-1, without the free tier; their sources are there.
"""

from __future__ import annotations

PRICES = {
    "write_units": 0.625e-6,
    "read_units": 0.125e-6,
    "queue_requests": 0.40e-6,
    "fair_messages": 0.10e-6,
    "invocations": 0.20e-6,
    "gb_seconds": 13.3334e-6,
    "api_requests": 1.00e-6,
    "socket_messages": 1.00e-6,
}

REQUESTS_PER_MESSAGE = 3
"""A message is sent, received and deleted."""
