"""What the emulator's own interpreter runs: MiniStack, taught what policies on AWS rest on and it does not know.

AWS's documentation wins: without these the roles and policies of the stacks would have to be wider than AWS needs.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from typing import Any


def know_encryption_contexts(actions: Any) -> None:
    """KMS gives policies the condition keys kms:EncryptionContext:* (kms/latest/developerguide/conditions-kms.html)."""
    known = actions.request_tag_context

    def context(service: str, action: str, body: bytes, *more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {**known(service, action, body, *more)}
        if service == "kms":
            with suppress(ValueError, AttributeError):
                for name, value in json.loads(body).get("EncryptionContext", {}).items():
                    found[f"kms:EncryptionContext:{name}"] = value
        return found

    actions.request_tag_context = context


def let_batches_pass_as_single_messages(actions: Any) -> None:
    """There is no sqs:SendMessageBatch: who may send one message may send ten at once
    (AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html).
    """
    extract = actions.extract_iam_action

    def action(service: str, *more: Any) -> Any:
        found = extract(service, *more)
        if service == "sqs" and found and found.lower().endswith("batch"):
            return found[: -len("batch")]
        return found

    actions.extract_iam_action = action


def take_loopback_for_tls(app: Any) -> None:
    """Queues and buckets refuse what comes without TLS. AWS has no other way in; on loopback nobody listens."""
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _secure: pin(address, True)


if __name__ == "__main__":
    know_encryption_contexts(import_module("ministack.core.iam_actions"))
    let_batches_pass_as_single_messages(import_module("ministack.core.iam_actions"))
    take_loopback_for_tls(import_module("ministack.app"))
    import_module("ministack.app").main()
