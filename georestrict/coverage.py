"""Coverage: whether the data can answer what a policy asks.

A rule about subdivisions or AS numbers over data without them would silently match nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from georestrict import subdivisions
from georestrict.database import Database
from georestrict.errors import ConfigurationError
from georestrict.policy import Policy, Words

logger = logging.getLogger("georestrict")


def check_coverage(policy: Policy, database: Database) -> None:
    """Check that a database knows the subdivisions and AS numbers that a policy names.

    One code or number that it does not know is a warning in the log: the next data may have it.

    Raises:
        ConfigurationError: if it knows no AS numbers at all, or no subdivision of a country.
    """
    for lack in lacking(policy, database):
        raise ConfigurationError(lack)


def lacking(policy: Policy, database: Database) -> Iterator[str]:
    """Yield what a policy asks for that a database cannot answer, each with place and fix.

    Nothing where there is none at all: what that means, the policy says.
    """
    if database.is_missing:
        return
    for category in sorted(policy.categories.keys() - database.claimants.keys()):
        yield (
            f"{policy.place}: categories.{category}: {database.metadata.path} tells nothing of "
            f"{category}, so it cannot grow old; open data that does, or remove the table"
        )
    for place, words in _conditions(policy):
        yield from _lacking_subdivisions(sorted(words.subdivisions), place, database)
        if words.asns and not database.has_asns:
            yield (
                f"{place}.asns: AS{min(words.asns)} needs data with AS numbers, which "
                f"{database.metadata.path} has not; open an MMDB with AS numbers, or compile an "
                "image with a source of the layer 'asn'"
            )
            continue
        for number in sorted(words.asns - database.asns if words.asns else ()):
            logger.warning(
                "%s.asns: %s has no addresses of AS%d, so it matches nothing",
                place,
                database.metadata.path,
                number,
            )


def _lacking_subdivisions(codes: list[str], place: str, database: Database) -> Iterator[str]:
    for code in codes:
        wanted = subdivisions.spellings(code)
        if wanted & database.subdivisions:
            continue
        countries = {each[:2] for each in wanted}
        if not any(known[:2] in countries for known in database.subdivisions):
            yield (
                f"{place}.subdivisions: {code} needs subdivision data, and "
                f"{database.metadata.path} has none of {' or '.join(sorted(countries))}; open an "
                "MMDB with subdivisions, or name the whole country in countries"
            )
            continue
        turned = "-".join(reversed(code.split("-")))
        hint = f"; did you mean {turned}?" if turned in database.subdivisions else ""
        logger.warning(
            "%s.subdivisions: %s has no addresses of %s, so it matches nothing%s",
            place,
            database.metadata.path,
            code,
            hint,
        )


def _conditions(policy: Policy) -> Iterator[tuple[str, Words]]:
    """Yield every rule and exception, with the place where it stands."""
    for number, rule in enumerate(policy.rules, 1):
        place = f"{policy.place}: rules[{number}] ({rule.name})"
        yield place, rule
        for at, words in enumerate(rule.unless, 1):
            yield f"{place}.unless[{at}]", words
