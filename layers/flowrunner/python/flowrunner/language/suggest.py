"""Near matches of mistyped names, at a bounded price.

Comparing thousands of unknown names with thousands of known ones is what a hostile document would like us to do, so a
name is compared only with names of about its length, and with not too many of those.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

MAX_PROBLEMS = 100
"""Problems shown of one document; the others are counted. It bounds the suggestions as well."""
MAX_COMPARISONS = 100
MAX_WORD = 64


def nearest(word: str, names: Iterable[str], limit: int = MAX_COMPARISONS) -> str | None:
    """The name that is most like `word`, whatever its case; None when none of at most `limit` names is like it."""
    word = word[:MAX_WORD]
    slack = max(2, len(word) // 2)
    similar = islice((name for name in names if abs(len(name) - len(word)) <= slack), limit)
    known = {name.lower(): name for name in similar}
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[near[0]] if near else None
