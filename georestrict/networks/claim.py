"""Claims: what sources say of a network, and what is told where they say several things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from georestrict.networks.category import HIDDEN_BY_RELAY, TELLING, Category, Confidence

#: Stands between the claims of one network, so it may not stand in a provider's name.
SEPARATOR = "|"


class Claim(NamedTuple):
    """One thing that is said of a network, written ``category:confidence:provider``."""

    category: Category
    confidence: Confidence
    provider: str  #: empty if it is not known

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Read a claim; ``category:confidence`` is one of an unknown provider.

        Raises:
            ValueError: with the form and the words that are possible.
        """
        category, _, rest = text.partition(":")
        confidence, _, provider = rest.partition(":")
        try:
            return cls(Category(category), Confidence(confidence), provider)
        except ValueError:
            raise ValueError(
                "write 'category:confidence:provider' with a category of "
                f"{', '.join(Category)} and a confidence of {', '.join(Confidence)}; several "
                f"claims with {SEPARATOR!r} between them"
            ) from None


def parse_claims(text: str) -> tuple[Claim, ...]:
    """Read the claims of a network, one of each category.

    Raises:
        ValueError: with the form and the words that are possible.
    """
    found = tuple(map(Claim.parse, text.split(SEPARATOR)))
    if len({claim.category for claim in found}) < len(found):
        raise ValueError("says one category twice; name each category once")
    return found


def told(claims: Iterable[str]) -> str:
    """Join claims of different categories in the order of telling.

    What runs a relay's machines is not told: a relay keeps its users' country, and a rule on
    hosting is not meant for them. Of one that is there at low confidence it is: no rule on relays
    matches it, unless it asks for that.
    """
    said = {Category(claim.partition(":")[0]): claim for claim in claims}
    relay = said.get(Category.RELAY)
    sure = relay is not None and Claim.parse(relay).confidence is not Confidence.LOW
    hidden = HIDDEN_BY_RELAY if sure else frozenset()
    return SEPARATOR.join(
        said[category] for category in TELLING if category in said and category not in hidden
    )
