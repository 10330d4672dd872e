"""The acts that are recorded. `services.audit` gives them to whoever records."""

# ruff: noqa: S105 - these are names of acts, and no passwords

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What is recorded: the subject, then what became of it."""

    LOGIN = "login"
    LOGIN_FAILED = "login.failed"
    LOGOUT = "logout"
    SESSION_REVOKED = "session.revoked"
    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    PASSWORD_CHANGED = "user.password_changed"
    ROLE_CHANGED = "role.changed"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_DELETED = "account.deleted"
    SECRET_WRITTEN = "secret.written"
    SECRET_DELETED = "secret.deleted"
    SECRET_READ = "secret.read"
    SECRETS_IMPORTED = "secrets.imported"
    SECRETS_ROTATED = "secrets.rotated"
    FLOW_SAVED = "flow.saved"
    FLOW_ACTIVATED = "flow.activated"
    FLOW_ARCHIVED = "flow.archived"
    FLOW_DELETED = "flow.deleted"
    RUN_CANCELLED = "run.cancelled"
    RUN_REDRIVEN = "run.redriven"
    RUN_DELETED = "run.deleted"
    MODULE_WRITTEN = "module.written"
    MODULE_DELETED = "module.deleted"
    PLUGIN_ENABLED = "plugin.enabled"
    PLUGIN_DISABLED = "plugin.disabled"
    HOOK_REFUSED = "hook.refused"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_DELETED = "schedule.deleted"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"
    DELIVERY_RETRIED = "delivery.retried"
