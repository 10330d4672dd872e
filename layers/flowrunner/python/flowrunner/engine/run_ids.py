"""Ids of runs that are derived from what starts them, so that the same cause starts one run however often it comes."""

from __future__ import annotations

import hashlib
import uuid

from flowrunner.core.ids import RunId


def derived_run_id(kind: str, *cause: str | int) -> RunId:
    """A UUIDv8 (RFC 9562) of the hash of `cause`, whose parts hold no `|` but the last."""
    digest = bytearray(hashlib.sha256("|".join((kind, *map(str, cause))).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return RunId(str(uuid.UUID(bytes=bytes(digest))))
