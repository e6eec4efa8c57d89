"""Where accounts were lately seen, how often they were blocked, and which were flagged."""

from georestrict.accounts.record import Sighting
from georestrict.accounts.store import Accounts

__all__ = ["Accounts", "Sighting"]
