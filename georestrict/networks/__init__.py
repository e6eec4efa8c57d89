"""What a network is for: its categories, how sure we are, and what numbers and names tell."""

from georestrict.networks.category import ANONYMOUS, Category, Confidence, parse_wanted
from georestrict.networks.names import classify

__all__ = ["ANONYMOUS", "Category", "Confidence", "classify", "parse_wanted"]
