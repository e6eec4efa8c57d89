"""The policy: what an owner says about which addresses.

A policy comes from a TOML file, a mapping, Python values, or the short form of the middlewares. All
four pass the same checks, made by the values themselves when they are built. Everything that can be
wrong is an error then, with the place, the offending word and the fix.
"""

from georestrict.policy.accounts import ManyCountries, SeenIn
from georestrict.policy.limits import CategoryLimit, StaleAction
from georestrict.policy.rules import Action, Rule
from georestrict.policy.values import Credential, Fallback, ListFile, Policy
from georestrict.policy.words import Words

__all__ = [
    "Action",
    "CategoryLimit",
    "Credential",
    "Fallback",
    "ListFile",
    "ManyCountries",
    "Policy",
    "Rule",
    "SeenIn",
    "StaleAction",
    "Words",
]
