"""The environment of the functions: settings of flowrunner, no secret."""

from __future__ import annotations

from collections.abc import Mapping

from infra.settings import Settings

API = {
    # API Gateway waits 30 s for an answer, and passes nothing on before it is whole.
    "FLOWRUNNER_LIVE__DELIVERY": "poll",
    "FLOWRUNNER_API__MAX_WAIT": "20s",
    "FLOWRUNNER_HOOKS__MAX_WAIT": "20s",
}
"""What the API has beside what all have."""


def base(settings: Settings, *, store_url: str, key_arn: str, public_url: str) -> dict[str, str]:
    """What all functions have."""
    values = {
        "FLOWRUNNER_STORE__URL": store_url,
        "FLOWRUNNER_VAULT__KMS_KEY": key_arn,
        "FLOWRUNNER_PUBLIC_URL": public_url,
        "FLOWRUNNER_ACCOUNTS__SIGNUP": settings.signup,
        "FLOWRUNNER_USAGE__BY": "stream",
        "FLOWRUNNER_LOG__FORMAT": "json",
        "FLOWRUNNER_LOG__LEVEL": {"WARN": "warning"}.get(settings.log_level, settings.log_level.lower()),
        "POWERTOOLS_METRICS_NAMESPACE": settings.prefix,  # so that each stage has its own
        "POWERTOOLS_LOG_LEVEL": settings.log_level,
    }
    optional = {
        "FLOWRUNNER_STORE__RETENTION": settings.retention,
        "FLOWRUNNER_EGRESS__ALLOW": ",".join(settings.egress_allow),
        "FLOWRUNNER_API__CORS_ORIGINS": ",".join(origins(settings)),
        "FLOWRUNNER_TELEMETRY__XRAY": "true" if settings.tracing else "",
    }
    return values | {name: value for name, value in optional.items() if value}


def of(settings: Settings, shared: Mapping[str, str], service: str, more: Mapping[str, str]) -> dict[str, str]:
    """What one function has. What the context says in `environment` comes last."""
    return {
        **shared,
        "POWERTOOLS_SERVICE_NAME": service,
        "POWERTOOLS_TRACE_DISABLED": "false" if settings.tracing else "true",
        **more,
        **settings.environment,
    }


def origins(settings: Settings) -> list[str]:
    """Pages that may call the API: those named, and the console."""
    console = settings.console_url or (f"https://{settings.console_domain}" if settings.console_domain else "")
    return list(dict.fromkeys([*settings.cors_origins, *([console] if console else [])]))
