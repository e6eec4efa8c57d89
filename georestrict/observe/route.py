"""Routes: what of a path is the same for many requests."""

from __future__ import annotations

import re

_MOST_SEGMENTS = 8
_LONGEST = 128

# What stands for one thing or one person: a whole segment, with or without a file's ending.
_ONE_OF_MANY = re.compile(
    r"""(?<=/)(?:
        [^/]*(?:@|%40)[^/]*                                     # an e-mail address, @somebody
      | (?:
            \+?[0-9][0-9.,:_+-]*                                # a number, a date, an address
          | [0-9a-fA-F]*:[0-9a-fA-F:.]+                         # an IPv6 address
          | \{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?  # a UUID
          | [0-9a-fA-F]{12,}                                    # a digest
          | (?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}                # a short one
          | [A-Za-z]+[-_][0-9]{2,}                              # order-2049
          | (?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_~=-]{16,} # a token
        )(?:\.[A-Za-z][A-Za-z0-9]{0,4})?
      | [^/]{65,}
    )(?=/|$)""",
    re.VERBOSE,
)


def route_of(path: str) -> str:
    """Return a path without what tells one thing or one person from another.

    Segments that are numbers, dates, addresses, UUIDs, long hexadecimal numbers, tokens or e-mail
    addresses become ``{}``, and so does what is longer than 64 characters. What follows the eighth
    segment becomes ``…``. It goes by how a segment looks, so a name that is a plain word stays.

    >>> route_of("/v1/users/4711/avatar")
    '/v1/users/{}/avatar'
    >>> route_of("/reset/ada@example.com")
    '/reset/{}'
    """
    path = path.partition("?")[0]
    segments = path.split("/", _MOST_SEGMENTS + 1)
    if len(segments) > _MOST_SEGMENTS + 1:
        path = "/".join([*segments[:-1], "…"])
    return _ONE_OF_MANY.sub("{}", path)[:_LONGEST]
