"""AS numbers (RFC 6793): 1 to 4294967295, written ``64500`` or ``AS64500``."""

from __future__ import annotations

LAST = (1 << 32) - 1


def parse(text: str) -> int | None:
    """Return the number that text says, or None if it says none."""
    digits = text[2:] if text[:2].upper() == "AS" else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10:
        return None
    number = int(digits)
    return number if 0 < number <= LAST else None
