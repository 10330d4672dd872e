"""The routes, one module per area."""

from __future__ import annotations

from fastapi import APIRouter

from flowrunner.api.routes import catalogue, flows, runs, steps

ROUTERS: tuple[APIRouter, ...] = (flows.api, runs.api, steps.api, catalogue.api)
