"""All that is fuzzed, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz import answers, documents, messages, network, scripts, texts
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        *documents.TARGETS,
        *answers.TARGETS,
        *scripts.TARGETS,
        *network.TARGETS,
        *messages.TARGETS,
        *texts.TARGETS,
    )
}
