"""georestrict: enforce where-from policies in ASGI and WSGI apps, at the cost of one lookup.

The paved path: a :class:`Policy` over a :class:`Database` makes an :class:`Engine`, and the
middlewares in ``georestrict.asgi`` and ``georestrict.wsgi`` enforce what it decides.

PYTEST_DONT_REWRITE: pytest rewrites packages that come with a plugin, and would warn where this one
is imported before pytest starts.
"""

from georestrict._core import BACKEND
from georestrict.accounts import Accounts
from georestrict.database import Database
from georestrict.decision import Code, Decision, Reason
from georestrict.endpoints import restrict
from georestrict.engine import Engine
from georestrict.errors import (
    ChecksumError,
    ConfigurationError,
    DatabaseError,
    FormatError,
    GeoRestrictError,
    StaleDataError,
    VersionError,
)
from georestrict.healthcheck import Health, health
from georestrict.location import Location, Locations, Status
from georestrict.networks import Category, Confidence
from georestrict.policy import Action, Policy, Rule
from georestrict.version import __version__ as __version__

__all__ = [
    "BACKEND",
    "Accounts",
    "Action",
    "Category",
    "ChecksumError",
    "Code",
    "Confidence",
    "ConfigurationError",
    "Database",
    "DatabaseError",
    "Decision",
    "Engine",
    "FormatError",
    "GeoRestrictError",
    "Health",
    "Location",
    "Locations",
    "Policy",
    "Reason",
    "Rule",
    "StaleDataError",
    "Status",
    "VersionError",
    "health",
    "restrict",
]
