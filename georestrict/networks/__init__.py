"""What a network is for: its categories, how sure we are, and what numbers and names tell."""

from georestrict.networks.category import ANONYMOUS, TELLING, Category, Confidence, parse_wanted
from georestrict.networks.claim import SEPARATOR, Claim, parse_claims, told
from georestrict.networks.names import classify

__all__ = [
    "ANONYMOUS",
    "SEPARATOR",
    "TELLING",
    "Category",
    "Claim",
    "Confidence",
    "classify",
    "parse_claims",
    "parse_wanted",
    "told",
]
