"""What a network is for: its categories, and how sure we are."""

from georestrict.networks.category import ANONYMOUS, Category, Confidence, parse_wanted

__all__ = ["ANONYMOUS", "Category", "Confidence", "parse_wanted"]
