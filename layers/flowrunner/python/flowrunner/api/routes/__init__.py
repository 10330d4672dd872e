"""The routes, one module per area."""

from __future__ import annotations

from fastapi import APIRouter

from flowrunner.api.routes import (
    accounts,
    audit,
    callbacks,
    catalogue,
    events,
    flows,
    hooks,
    logs,
    runs,
    schedules,
    secrets,
    sessions,
    steps,
    system,
    tokens,
    usage,
    users,
    webhooks,
)

ROUTERS: tuple[APIRouter, ...] = (
    flows.api,
    runs.api,
    steps.api,
    events.api,
    logs.api,
    catalogue.api,
    hooks.api,
    hooks.inbound,
    schedules.api,
    callbacks.api,
    accounts.api,
    users.api,
    tokens.api,
    sessions.api,
    usage.api,
    audit.api,
    system.api,
    secrets.api,
    webhooks.api,
)
