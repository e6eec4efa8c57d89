"""What a network is for: its categories, and how sure we are."""

from georestrict.networks.category import ANONYMOUS, TELLING, Category, Confidence, parse_wanted
from georestrict.networks.claim import SEPARATOR, Claim, parse_claims, told

__all__ = [
    "ANONYMOUS",
    "SEPARATOR",
    "TELLING",
    "Category",
    "Claim",
    "Confidence",
    "parse_claims",
    "parse_wanted",
    "told",
]
