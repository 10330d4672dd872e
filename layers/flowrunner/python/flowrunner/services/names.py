"""Names that people give: what may be in one, and when two of them are the same.

A name is shown in lists, logs and audit records next to other people's, so it holds nothing that moves, hides or
reorders what stands beside it.
"""

from __future__ import annotations

import unicodedata

from flowrunner.errors import InvalidInput

USER_NAME_LENGTH = 64
TITLE_LENGTH = 100

_PUNCTUATION = "._-@+"
"""With letters, digits and marks this is enough for an e-mail address. A colon would end the name in HTTP Basic."""


def user_name(text: str, field: str = "username") -> str:
    """A login name as it is kept and shown (NFKC). Raises `InvalidInput`."""
    name = unicodedata.normalize("NFKC", text[: 8 * USER_NAME_LENGTH])
    if not 1 <= len(name) <= USER_NAME_LENGTH:
        raise InvalidInput(f"{field} must have 1 to {USER_NAME_LENGTH} characters", field=field)
    for character in name:
        if unicodedata.category(character)[0] not in "LNM" and character not in _PUNCTUATION:
            raise InvalidInput(
                f"{field} may hold letters, digits and {' '.join(_PUNCTUATION)}, but not {described(character)}",
                field=field,
            )
    return name


def same_name(name: str) -> str:
    """What is equal for names that count as one: `Admin`, `admin`, and `admin` in full-width letters are."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def title(text: str, field: str = "name") -> str:
    """The name of an account or a token: one line of visible text (NFC). Raises `InvalidInput`."""
    name = unicodedata.normalize("NFC", text[: 8 * TITLE_LENGTH]).strip()
    if not 1 <= len(name) <= TITLE_LENGTH:
        raise InvalidInput(f"{field} must have 1 to {TITLE_LENGTH} characters", field=field)
    for character in name:
        if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
            raise InvalidInput(f"{field} may not hold {described(character)}", field=field)
    return name


def described(character: str) -> str:
    """A character in words that are safe to print."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name.lower()})" if name else "")
