"""Categories of networks, and the confidence in them."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What a network is known to be used for. An address can be in several."""

    HOSTING = "hosting"  #: machines for rent: clouds, dedicated and virtual servers
    VPN = "vpn"  #: exits of a virtual private network
    TOR = "tor"  #: exits of the Tor network
    RELAY = "relay"  #: a privacy relay that keeps its users' country (iCloud Private Relay)
    PROXY = "proxy"  #: open or commercial proxies
    CDN = "cdn"  #: edges of content delivery networks
    BOT = "bot"  #: declared crawlers


#: Categories that hide who is behind an address, and in most cases where.
ANONYMOUS = frozenset({Category.VPN, Category.TOR, Category.RELAY, Category.PROXY})

#: In which order categories are told where a network is in several: the most telling first.
TELLING = (
    Category.TOR,
    Category.VPN,
    Category.PROXY,
    Category.RELAY,
    Category.BOT,
    Category.CDN,
    Category.HOSTING,
)

#: What is not told of a relay's network: whose machines it runs on, and that it is no VPN.
HIDDEN_BY_RELAY = frozenset({Category.HOSTING, Category.VPN, Category.PROXY, Category.CDN})


class Confidence(StrEnum):
    """How sure it is that an address is in a category; they compare in this order."""

    LOW = "low"  #: a pattern, such as a name
    MEDIUM = "medium"  #: a curated or aggregated list
    HIGH = "high"  #: the operator's own feed, or an exact list

    @property
    def rank(self) -> int:
        """0 for low, 1 for medium, 2 for high."""
        return _RANKS[self.value]


_RANKS = {confidence.value: rank for rank, confidence in enumerate(Confidence)}


def parse_wanted(text: str) -> tuple[Category, Confidence]:
    """Read what a rule asks for: ``"tor"`` (medium confidence or better) or ``"vpn:high"``.

    Raises:
        ValueError: with the words that are possible.
    """
    name, colon, level = text.partition(":")
    try:
        category = Category(name.lower())
    except ValueError:
        raise ValueError(f"write one of {', '.join(Category)}") from None
    try:
        return category, Confidence(level.lower()) if colon else Confidence.MEDIUM
    except ValueError:
        raise ValueError(f"after the colon write one of {', '.join(Confidence)}") from None
