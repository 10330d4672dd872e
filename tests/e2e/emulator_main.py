"""What the emulator's own interpreter runs: MiniStack, with what it lacks and the roles of our functions rest on."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from typing import Any


def know_encryption_contexts() -> None:
    """KMS gives policies the condition keys kms:EncryptionContext:* (kms/latest/developerguide/conditions-kms.html);
    the emulator does not, so that a statement with such a condition would never allow anything.
    """
    actions: Any = import_module("ministack.core.iam_actions")
    known = actions.request_tag_context

    def context(service: str, action: str, body: bytes, *more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {**known(service, action, body, *more)}
        if service == "kms":
            with suppress(ValueError, AttributeError):
                for name, value in json.loads(body).get("EncryptionContext", {}).items():
                    found[f"kms:EncryptionContext:{name}"] = value
        return found

    actions.request_tag_context = context


if __name__ == "__main__":
    know_encryption_contexts()
    import_module("ministack.app").main()
