"""Checksums as providers publish them, and whether a file has the one that is told.

``sha256sum``'s lines, BSD's ``MD5 (name) = …``, a bare sum, and IPinfo's JSON are the same here:
hexadecimal digits whose number tells the algorithm. MD5 and SHA-1 find damage, not forgery; what
speaks for the sender is the certificate.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from georestrict.update.failures import FetchError

#: A file of checksums has a line or a few.
MOST_BYTES = 64 << 10
_SUM = re.compile(r"(?<![0-9a-zA-Z])[0-9a-fA-F]{32,128}(?![0-9a-zA-Z])")
_ALGORITHMS = {128: "sha512", 64: "sha256", 40: "sha1", 32: "md5"}


def told(text: str, name: str) -> tuple[str, str]:
    """Return the algorithm and the sum that a file of checksums tells of a file.

    Raises:
        FetchError: if it tells none, or several of which none is said to be of that file.
    """
    lines = [line for line in text.splitlines() if _SUM.search(line)]
    of_it = [line for line in lines if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", line)]
    found: dict[int, set[str]] = {}
    for line in of_it or lines:
        for written in _SUM.findall(line):
            found.setdefault(len(written), set()).add(written.lower())
    for length, algorithm in _ALGORITHMS.items():
        sums = found.get(length, set())
        if len(sums) > 1:
            raise FetchError(f"the checksum file tells {len(sums)} sums, none of them of {name!r}")
        if sums:
            return algorithm, sums.pop()
    raise FetchError("the checksum file tells no MD5, SHA-1, SHA-256 or SHA-512")


def has(path: Path, algorithm: str, stated: str) -> bool:
    """Tell whether a file has a sum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return hmac.compare_digest(found.hexdigest(), stated)
