"""What is told of middlewares and engines: names, labels, and how many values a label may have.

No label ever holds what a request brings: no address, no path, no account.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Names of rules that are told, for each policy and process; those beyond are ``OTHER``.
MOST_RULES = 200
#: Policies that are told; those beyond are ``OTHER``.
MOST_POLICIES = 50
#: Countries and statuses that are told of each policy; ISO 3166-1 has 249 codes.
MOST_COUNTRIES = 300
OTHER = "other"

#: Upper bounds of the histogram's buckets, in seconds.
BUCKETS = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2.5e-2)


@dataclass(frozen=True, slots=True)
class Kind:
    """One metric. Prometheus has ``georestrict_NAME``, OpenTelemetry ``georestrict.NAME``."""

    name: str
    what: str
    labels: tuple[str, ...]
    unit: str = ""  #: as OpenTelemetry writes it (UCUM)

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, without the suffix of a counter."""
        return f"georestrict_{self.name}"

    @property
    def opentelemetry(self) -> str:
        """The name in OpenTelemetry, which has units elsewhere."""
        return f"georestrict.{self.name.removesuffix('_seconds')}"


DECISIONS = Kind(
    "decisions",
    "Requests, by what was decided about them.",
    ("policy", "action", "would", "reason", "rule"),
)
COUNTRIES = Kind(
    "countries",
    "Requests, by the country that their addresses appear to be in, or why there is none.",
    ("policy", "country", "action", "would"),
)
FALLBACK = Kind(
    "fallback",
    "Requests that a fallback case decided.",
    ("policy", "case", "action", "would"),
)
COUNTED = Kind("counted", "Requests that a count rule matched.", ("policy", "rule"))
UNRESOLVED = Kind(
    "client_unresolved", "Requests without a trustworthy client address, by why.", ("reason",)
)
RELOADS = Kind("reloads", "Reloads of policy, lists and data.", ("result",))
SUPPRESSED = Kind(
    "events_suppressed", "Events that were counted, but not written: over the rate limit.", ()
)
COUNTERS = (DECISIONS, COUNTRIES, FALLBACK, COUNTED, UNRESOLVED, RELOADS, SUPPRESSED)

AGE = Kind("data_age_seconds", "Age of a part of the data, in seconds.", ("layer",), "s")
STALE = Kind("data_stale", "Whether a part of the data is past its hard limit.", ("layer",))
EMERGENCY = Kind("emergency", "Whether the emergency switch was on when last seen.", ("policy",))
SNAPSHOT = Kind("snapshot_info", "What is in force.", ("snapshot", "policy"))
GAUGES = (AGE, STALE, EMERGENCY, SNAPSHOT)

LOOKUP = Kind(
    "lookup_seconds",
    "Time that deciding took, of every so many requests that go the slow way.",
    (),
    "s",
)
