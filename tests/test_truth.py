"""The truth table of the policy: every word, and how the words work together.

The expected values are written by hand from design §7 and the acceptance table. Each row is asked of
the engine, of the plain evaluator (``tests/reference.py``) and of both middlewares.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from georestrict import Database, Engine, asgi
from georestrict.decision import Decision
from georestrict.testing import tiny_database
from tests import web
from tests.reference import EVERYWHERE, Answer, Asked, Seen, World, counted, decide

WORLD = World(
    date=datetime(2024, 6, 1, tzinfo=UTC),
    countries={
        "81.2.69.0/24": "GB",
        "175.16.199.0/24": "CN",
        "89.160.20.0/24": "SE",
        "2001:218::/32": "JP",
        "52.95.110.0/24": "US",
        "47.242.0.0/24": "HK",
        "60.246.0.0/24": "MO",
        "1.34.0.0/24": "TW",
        "5.160.0.0/24": "IR",
        "84.208.20.0/24": "NO",
        "46.99.0.0/24": "XK",
        "91.198.36.0/24": "UA",
        "41.0.0.0/24": "ZA",
        "177.0.0.0/24": "BR",
    },
    subdivisions={"91.198.36.128/25": "UA-43", "52.95.110.128/25": "US-TX"},
    networks={
        "81.2.69.200/32": "tor:high:Tor",
        "81.2.69.64/28": "vpn:low:By Name",
        "175.16.199.128/26": "vpn:medium:A List",
        "177.0.0.64/26": "vpn:high:A Feed",
        "89.160.20.128/25": "relay:high:A Relay",
        "52.95.110.0/25": "hosting:high:A Cloud",
        "5.160.0.128/25": "proxy:medium:A List",
        "35.191.0.0/24": "hosting:high:Probes",
        # a network with several claims, in one row and in overlapping ones
        "84.208.20.64/26": "tor:high:Tor|hosting:medium:A Cloud",
        "84.208.20.128/25": "hosting:high:A Cloud",
        "84.208.20.200/32": "relay:high:A Relay|vpn:high:A List",
        "84.208.20.160/28": "vpn:low:By Name|hosting:low:By Name",
    },
    asns={"47.242.0.0/25": 45102, "52.95.110.0/24": 16509},
    lists={
        "partners": ["175.16.199.7", "10.1.0.0/16", "2001:218:1::/48"],
        "wide": ["5.160.0.0/16"],
        "narrow": ["5.160.0.0/24", "5.160.0.9/32"],
    },
)
GB, CN, SE, JP, US = "81.2.69.142", "175.16.199.1", "89.160.20.112", "2001:218::1", "52.95.110.1"
HK, MO, TW, IR, NO, XK = (
    "47.242.0.1",
    "60.246.0.1",
    "1.34.0.1",
    "5.160.0.1",
    "84.208.20.1",
    "46.99.0.1",
)
UA, CRIMEA, TEXAS, ZA, BR = "91.198.36.1", "91.198.36.200", "52.95.110.200", "41.0.0.1", "177.0.0.1"
HK_ELSEWHERE = "47.242.0.200"  # not in the cloud's AS
TOR, VPN_LOW, VPN_MEDIUM, VPN_HIGH = "81.2.69.200", "81.2.69.65", "175.16.199.130", "177.0.0.65"
RELAY, PROXY, PROBE = "89.160.20.200", "5.160.0.200", "35.191.0.7"
TOR_IN_A_CLOUD, RELAY_IN_A_CLOUD = "84.208.20.65", "84.208.20.200"
HOSTED, VPN_IN_A_CLOUD = "84.208.20.130", "84.208.20.161"
CN_PARTNER, JP_PARTNER, PRIVATE_PARTNER = "175.16.199.7", "2001:218:1::5", "10.1.2.3"
UNKNOWN, PRIVATE, LOOPBACK, NOBODY = "9.9.9.9", "10.3.3.3", "127.0.0.1", None

COUNTRY = "unsupported_country_region_territory"
ANONYMOUS = "anonymous_network"
NETWORK = "network_not_allowed"
UNRESOLVED = "client_address_unresolved"
ACCOUNT = "account_location_restricted"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# The story's dates.
JUNE_24, JUNE_25 = utc(2024, 6, 24), utc(2024, 6, 25)
LAST_SECOND, JULY_9 = utc(2024, 7, 8, 23, 59, 59), utc(2024, 7, 9)
NOW = utc(2024, 7, 1)  # between them


def policy(*rules: dict[str, Any], default: str = "allow", **more: Any) -> dict[str, Any]:
    return {"default": default, **more} | ({"rules": [*rules]} if rules else {})


def rule(name: str, action: str | None = None, **words: Any) -> dict[str, Any]:
    return {"name": name, **({} if action is None else {"action": action}), **words}


def allow(rule: str | None, reason: str, *counted: str) -> Answer:
    return Answer("allow", rule, reason, None, counted=counted)


def warn(rule: str | None, reason: str, code: str, *counted: str) -> Answer:
    return Answer("warn", rule, reason, code, counted=counted)


def block(rule: str | None, reason: str, code: str, *counted: str) -> Answer:
    return Answer("block", rule, reason, code, counted=counted)


def dry(would: str, rule: str | None, reason: str, code: str | None, *counted: str) -> Answer:
    return Answer("allow", rule, reason, code, would, counted)


def old(answer: Answer, *stale: str) -> Answer:
    return answer._replace(stale=frozenset(stale))


def relieved(rule: str | None, reason: str, code: str) -> Answer:
    return Answer("warn", rule, reason, code, "block", emergency=True)


class Row(NamedTuple):
    """A policy, a request and a time, and what must happen."""

    says: str
    policy: Mapping[str, Any]
    who: str | None
    expected: Answer
    target: str = "/"
    has_raw: bool = True
    method: str = "GET"
    host: str = ""
    protocol: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, str] = {}
    account: str | None = None
    before: tuple[tuple[str, timedelta] | tuple[str, timedelta, str], ...] = ()
    at: datetime = NOW
    emergency: bool = False

    @property
    def earlier(self) -> list[Asked]:
        """The requests that came before, each of the account, unless it names another."""
        return [
            Asked(address=who, at=self.at - ago, account=[self.account, *other][-1])
            for who, ago, *other in self.before
        ]

    @property
    def asked(self) -> Asked:
        """The request for the plain evaluator."""
        return Asked(
            address=self.who,
            path=unquote(self.target),
            raw_path=self.target.encode() if self.has_raw else None,
            method=self.method,
            host=self.host,
            protocol=self.protocol,
            headers=[(name.encode(), value.encode()) for name, value in self.headers],
            attributes=self.attributes,
            account=self.account,
            at=self.at,
            emergency=self.emergency,
        )


DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
CLOUD_US = US  # an address of a hosting provider

BY_DEFAULT = allow(None, "default")
REFUSED = block(None, "default", COUNTRY)

B = policy(rule("no-cn", "block", countries=["CN"]))
A = policy(rule("supported", "allow", countries=["GB", "SE"]), default="block")
HEALTH = rule("health", "allow", paths=["/healthz"])
ADMIN = rule("admin", "block", countries=["CN"], paths=["/admin/*"])
GUARDED = policy(HEALTH, rule("supported", "allow", countries=["GB"]), default="block")
NO_ADMIN = policy(ADMIN)
ANY_CASE = policy(HEALTH, ADMIN | {"paths": ["/Admin/*"]}, paths_ignore_case=True, default="allow")
GROUPS = policy(rule("union", "block", countries=["@eu", "cn"]))
AREA = policy(rule("area", "warn", countries=["@eea"]))
CONTINENTS = policy(rule("continents", "block", continents=["EU", "af"]))
REGIONS = policy(rule("regions", "block", subdivisions=["UA-43", "us-tx"]))
CLOUD = policy(rule("cloud", "block", asns=[45102, "AS64500"]))
ANONYMISERS = policy(rule("anonymous", "block", categories=["tor", "vpn:high", "proxy"]))
MEDIUM = policy(rule("vpn", "block", categories=["vpn"]))
LOW = policy(rule("vpn", "block", categories=["vpn:low"]))
HOSTING = policy(rule("hosting", "warn", categories=["hosting"]))
MIXED = policy(rule("mixed", "block", categories=["tor", "hosting"]))
LISTS = {
    "partners": {"path": "partners.txt"},
    "wide": {"path": "wide.txt"},
    "narrow": {"path": "narrow.txt"},
}
PARTNERS = policy(
    rule("partners", "allow", lists=["partners"]),
    rule("no-cn", "block", countries=["CN", "JP"]),
    lists=LISTS,
)
AGED = {"stale_after": "38d"}  # on JULY_9
UNTIL_JULY_9 = B | AGED
KEPT = [UNTIL_JULY_9 | {"stale_action": action} for action in ("warn", "keep")]
OLD_TOR = ANONYMISERS | {"categories": {"tor": AGED | {"stale_action": "ignore"}}}
OLD_TOR_KEPT = ANONYMISERS | {"categories": {"tor": AGED}}
OLD_PARTNERS = PARTNERS | {
    "lists": LISTS | {"partners": LISTS["partners"] | AGED | {"stale_action": "ignore"}}
}
OLD_PARTNERS_KEPT = PARTNERS | {"lists": LISTS | {"partners": LISTS["partners"] | AGED}}
NO_DATA = old(block(None, "no_data", "location_unavailable"), "country")
NESTED = policy(
    rule("narrow", "warn", lists=["narrow"]), rule("wide", "block", lists=["wide"]), lists=LISTS
)
HIDDEN = policy(
    rule("wide", "block", lists=["wide"]), rule("narrow", "allow", lists=["narrow"]), lists=LISTS
)
RANGES = policy(rule("ranges", "block", networks=["81.2.69.0/24", "2001:218::/48", "9.9.9.9"]))
HOSTS = policy(
    rule("api", "block", countries=["CN"], hosts=["API.example.com", "*.eu.example.com"])
)
METHODS = policy(rule("writes", "block", countries=["CN"], methods=["post", "DELETE"]))
SOCKETS = policy(rule("sockets", "block", countries=["CN"], protocols=["websocket"]))
PLAIN_HTTP = policy(rule("http", "block", countries=["CN"], protocols=["http"]))
KEYS = {
    "partner": {"header": "X-Partner-Key", "sha256": [sha256("partner-1"), sha256("partner-2")]},
    "staff": {"header": "Authorization", "sha256": [sha256("Bearer staff")], "until": JULY_9},
    "pair": {"header": "X-Pair", "sha256": [sha256("one,two")]},
}
CREDENTIALS = policy(
    rule("partner", "allow", credentials=["partner", "staff", "pair"]),
    default="block",
    credentials=KEYS,
)
KEY_AND_PLACE = policy(
    rule("partner", "allow", credentials=["partner"], countries=["HK"]),
    default="block",
    credentials=KEYS,
)
ELIGIBLE = policy(
    rule(
        "eligible",
        "allow",
        countries=["CN", "HK"],
        attributes={"customer": ["eligible", "trial"], "deployment_region": ["eu-west"]},
    ),
    rule("supported", "allow", countries=["GB"]),
    default="block",
)
CUSTOMERS = policy(
    rule("customers", "allow", attributes={"customer": ["eligible"]}), default="block"
)
UNLESS_PATHS = policy(
    rule("no-cn", "block", countries=["CN"], unless={"paths": ["/status/*", "/healthz"]})
)
UNLESS_BOTH = policy(
    rule("no-cn", "block", countries=["CN"], unless={"paths": ["/status"], "methods": ["GET"]})
)
UNLESS_EITHER = policy(
    rule(
        "no-cn",
        "block",
        countries=["CN"],
        unless=[{"paths": ["/status"]}, {"methods": ["HEAD"], "hosts": ["a.example"]}],
    )
)
UNLESS_KEY = policy(
    rule("no-cn", "block", countries=["CN"], unless={"credentials": ["partner"]}), credentials=KEYS
)
UNLESS_CUSTOMER = policy(
    rule("no-cn", "block", countries=["CN"], unless={"attributes": {"customer": ["eligible"]}})
)
IN_CLOUDS = {"categories": ["hosting", "vpn", "tor"]}
TUNNEL_RULE = rule(
    "tunnel",
    "block",
    **IN_CLOUDS,
    account_seen_in={"countries": ["CN", "ir"], "within": "14d"},
)
TUNNEL = policy(TUNNEL_RULE)
TUNNELLED = block("tunnel", "account", ACCOUNT)
IN_BRITAIN = policy(TUNNEL_RULE | {"account_seen_in": {"countries": ["GB"], "within": "14d"}})
RELAYED = policy(
    rule("no-se", "block", countries=["GB"], account_seen_in={"countries": ["SE"], "within": "2d"})
)
SEEN_HERE = policy(
    rule("here", "block", countries=["CN"], account_seen_in={"countries": ["CN"], "within": "1h"})
)
THROUGH_CLOUD = policy(
    rule(
        "cloud",
        "block",
        countries=["GB"],
        account_seen_in={"categories": ["hosting"], "within": "2d"},
    )
)
THROUGH_VPN = policy(
    rule(
        "vpn",
        "block",
        countries=["GB", "US"],
        account_seen_in={"countries": ["CN", "GB"], "categories": ["vpn"], "within": "2w"},
    )
)
ABROAD = policy(
    rule(
        "abroad", "block", **IN_CLOUDS, account_seen_in={"outside": ["@eu", "GB", "US"], "within": "14d"}
    )
)  # fmt: skip
HOPPING = policy(
    rule("hopping", "warn", countries=["GB"], account_countries={"more_than": 2, "within": "1d"})
)
BOTH_PASTS = policy(
    rule(
        "both",
        "block",
        countries=["GB"],
        account_seen_in={"countries": ["CN"], "within": "1d"},
        account_countries={"more_than": 1, "within": "1d"},
    )
)
UNLESS_HOME = policy(
    rule(
        "no-cn",
        "block",
        countries=["CN"],
        unless={"account_seen_in": {"countries": ["GB"], "within": "30d"}},
    )
)
KNOWN_HERE = policy(
    rule("known", "allow", account_seen_in={"countries": ["GB"], "within": "30d"}), default="block"
)
PARTNER_TUNNEL = policy(
    rule("partner", "allow", credentials=["partner"]), TUNNEL_RULE, credentials=KEYS
)
UNLESS_LIST = policy(
    rule("no-cn", "block", countries=["CN"], unless={"lists": ["partners"]}), lists=LISTS
)
UNLESS_VPN = policy(
    rule("supported", "allow", countries=["GB", "BR", "CN"], unless={"categories": ["tor", "vpn"]}),
    default="block",
)
UNLESS_REGION = policy(
    rule("ukraine", "allow", countries=["UA"], unless={"subdivisions": ["UA-43"]}), default="block"
)
UNLESS_AS = policy(rule("no-hk", "block", countries=["HK"], unless={"asns": ["AS45102"]}))
UNLESS_SOCKET = policy(
    rule("no-cn", "block", countries=["CN"], unless={"protocols": ["websocket"]})
)
UNLESS_CONTINENT = policy(
    rule("not-europe", "block", networks=EVERYWHERE, unless={"continents": ["EU"]})
)
EVERYONE_ELSE = policy(
    rule("everyone-else", "block", networks=EVERYWHERE, unless={"countries": ["GB", "@eu"]})
)
EVERYONE_ELSE_4 = policy(
    rule("everyone-else", "block", networks=EVERYWHERE[:1], unless={"countries": ["GB"]})
)
EVERYONE_ELSE_6 = policy(
    rule("everyone-else", "block", networks=EVERYWHERE[1:], unless={"countries": ["GB"]})
)
ELSEWHERE = policy(rule("wide", "block", networks=["5.0.0.0/8"], unless={"countries": ["GB"]}))
STORY = policy(
    HEALTH,
    rule("tor", "block", categories=["tor"]),
    rule(
        "everyone-else",
        networks=EVERYWHERE,
        unless={"countries": ["GB", "US"]},
        warn_from=JUNE_25,
        block_from=JULY_9,
    ),
)
DATED = policy(rule("no-cn", countries=["CN"], block_from=JULY_9))
WARNED = policy(rule("warn-cn", countries=["CN"], warn_from=JULY_9))
TURNING = policy(
    rule("admin", countries=["CN"], paths=["/admin"], warn_from=JUNE_25, block_from=JULY_9),
    rule("rest", "warn", countries=["CN"]),
)
FIRST_ALLOWED = policy(
    rule("dated", countries=["CN"], block_from=JULY_9), rule("no-cn", "block", countries=["CN"])
)
ENDING = policy(rule("no-cn", "block", countries=["CN"], until=JULY_9))
GRACE = policy(
    rule("grace", "allow", countries=["CN"], until=JULY_9), rule("no-cn", "block", countries=["CN"])
)
ENDING_SCHEDULE = policy(rule("no-cn", countries=["CN"], block_from=JUNE_25, until=JULY_9))
COUNTING = policy(
    rule("hosting", "count", categories=["hosting"]),
    rule("far", "count", countries=["CN", "US"]),
    rule("late", "count", countries=["CN"], until=JUNE_25),
    rule("no-cn", "block", countries=["CN"]),
    rule("after", "count", countries=["CN", "GB"]),
)
COUNTED_PATHS = policy(rule("tried", "count", countries=["CN"], paths=["/admin"]))
DRY = policy(
    HEALTH,
    rule("hk", "warn", countries=["HK"]),
    rule("no-cn", "block", countries=["CN"]),
    mode="dry-run",
)
DRY_ALLOW_LIST = A | {"mode": "dry-run"}
DRY_COUNT = policy(
    rule("seen", "count", countries=["CN"]),
    rule("no-cn", "block", countries=["CN"]),
    mode="dry-run",
)
FALLBACK = policy(
    rule("no-cn", "block", countries=["CN"]),
    fallback={"unknown": "warn", "private": "block", "unresolved": "allow"},
)
OPEN_ALLOW_LIST = A | {"fallback": {"private": "allow", "unresolved": "warn"}}
PRIVATE_PARTNERS = policy(
    rule("partners", "allow", lists=["partners"]), default="block", lists=LISTS
)
INSIDE = policy(rule("inside", "warn", networks=["10.0.0.0/8"]), default="block")
PROBES = policy(
    rule("probes", "allow", categories=["hosting"], paths=["/healthz"]), default="block"
)
KEYED_FIRST = policy(
    rule("key", "allow", credentials=["partner"]),
    rule("no-cn", "block", countries=["CN"]),
    fallback={"unresolved": "block"},
    credentials=KEYS,
)
ORDER = policy(
    rule("one", "allow", networks=["175.16.199.1/32"]),
    rule("no-cn", "block", countries=["CN"]),
    rule("bad", "block", networks=["81.2.69.0/24"]),
    rule("gb", "allow", countries=["GB"]),
    default="block",
)
OVERLAP = policy(
    rule("brazil", "allow", countries=["BR"]),
    rule("vpn", "block", categories=["vpn"]),
    default="block",
)
OVERLAP_TURNED = policy(
    rule("vpn", "block", categories=["vpn"]),
    rule("brazil", "allow", countries=["BR"]),
    default="block",
)
ALL_WORDS = policy(
    rule(
        "narrow",
        "block",
        countries=["HK", "US"],
        asns=[45102],
        hosts=["api.example.com"],
        paths=["/v1/*"],
        methods=["POST"],
        protocols=["http"],
    )
)
ALL_WORDS_MET = {"who": HK, "host": "api.example.com:8443", "target": "/v1/chat", "method": "POST"}
WHERE_TWICE = policy(
    rule(
        "both",
        "block",
        countries=["GB"],
        categories=["tor", "vpn:low"],
        networks=["81.2.69.64/26", "81.2.69.200"],
    )
)
GLOB = policy(rule("glob", "block", countries=["CN"], paths=["/v*/chat", "/files/*/raw/*"]))
ACME = policy(
    rule("acme", "allow", paths=["/.well-known/acme-challenge/*"], methods=["GET"]),
    rule("no-cn", "block", countries=["CN"]),
)
STRICT_WARN = policy(rule("noted", "warn", countries=["CN"], paths=["/admin/*"]))
EXPORT = policy(
    rule("export", "allow", paths=["/export/*"]),
    rule("no-cn", "block", countries=["CN"], paths=["/export/*", "/v1/*"]),
)
SPOOFED = (
    ("X-Original-URL", "/healthz"),
    ("X-Rewrite-URL", "/healthz"),
    ("X-HTTP-Method-Override", "HEAD"),
    ("X-Forwarded-Host", "a.example"),
)
CLUES = (
    ("Accept-Language", "zh-CN,zh;q=0.9"),
    ("X-Timezone", "Asia/Shanghai"),
    ("Via", "1.1 proxy.example"),
    ("User-Agent", "curl/8"),
)


def partner(value: str, name: str = "X-Partner-Key") -> tuple[tuple[str, str], ...]:
    return ((name, value),)


def met(**changed: Any) -> dict[str, Any]:
    return {**ALL_WORDS_MET, **changed}


NO_CN = block("no-cn", "country", COUNTRY)
HEALTHY = allow("health", "request")
ADMIN_BLOCKED = block("admin", "country", COUNTRY)

ROWS = [
    # countries
    Row("a named country is blocked", B, CN, NO_CN),
    Row("another country meets the default", B, GB, BY_DEFAULT),
    Row("a named country is allowed", A, GB, allow("supported", "country")),
    Row("the second of two named countries is allowed", A, SE, allow("supported", "country")),
    Row("an allow list refuses every other country", A, CN, REFUSED),
    Row("IPv6 clients have a country", A, JP, REFUSED),
    Row("H5 block CN does not reach Hong Kong", B, HK, BY_DEFAULT),
    Row("H5 block CN does not reach Macao", B, MO, BY_DEFAULT),
    Row("H5 block CN does not reach Taiwan", B, TW, BY_DEFAULT),
    Row("H5 Kosovo stands for itself", policy(rule("xk", "warn", countries=["XK"])), XK, warn("xk", "country", COUNTRY)),
    Row("a group stands for its members", GROUPS, SE, block("union", "country", COUNTRY)),
    Row("a code beside a group, in lower case", GROUPS, CN, block("union", "country", COUNTRY)),
    Row("the United Kingdom is not in @eu", GROUPS, GB, BY_DEFAULT),
    Row("Norway is not in @eu", GROUPS, NO, BY_DEFAULT),
    Row("Norway is in @eea", AREA, NO, warn("area", "country", COUNTRY)),
    Row("members of @eu are in @eea", AREA, SE, warn("area", "country", COUNTRY)),
    Row("a country is looked up behind a mapped address", B, "::ffff:175.16.199.1", NO_CN),
    Row("a country is looked up behind 6to4", B, "2002:af10:c701::1", NO_CN),
    # subdivisions, continents
    Row("a subdivision is blocked", REGIONS, CRIMEA, block("regions", "country", COUNTRY)),
    Row("the rest of its country is not", REGIONS, UA, BY_DEFAULT),
    Row("a subdivision in lower case", REGIONS, TEXAS, block("regions", "country", COUNTRY)),
    Row("an address whose subdivision nobody knows is in none", REGIONS, US, BY_DEFAULT),
    Row("a country rule holds in its subdivisions", policy(rule("ua", "block", countries=["UA"])), CRIMEA, block("ua", "country", COUNTRY)),
    Row("a continent is blocked", CONTINENTS, GB, block("continents", "country", COUNTRY)),
    Row("a continent in lower case", CONTINENTS, ZA, block("continents", "country", COUNTRY)),
    Row("another continent is not", CONTINENTS, BR, BY_DEFAULT),
    Row("no continent without a country", CONTINENTS, UNKNOWN, allow(None, "unknown")),
    # categories
    Row("I1 a Tor exit is what the policy says", ANONYMISERS, TOR, block("anonymous", "category", ANONYMOUS)),
    Row("a proxy of medium confidence is a proxy", ANONYMISERS, PROXY, block("anonymous", "category", ANONYMOUS)),
    Row("vpn:high takes a VPN of high confidence", ANONYMISERS, VPN_HIGH, block("anonymous", "category", ANONYMOUS)),
    Row("vpn:high leaves one of medium confidence", ANONYMISERS, VPN_MEDIUM, BY_DEFAULT),
    Row("without a suffix medium confidence is enough", MEDIUM, VPN_MEDIUM, block("vpn", "category", ANONYMOUS)),
    Row("without a suffix high confidence is enough", MEDIUM, VPN_HIGH, block("vpn", "category", ANONYMOUS)),
    Row("I4 a name alone is not enough", MEDIUM, VPN_LOW, BY_DEFAULT),
    Row("I4 a name is enough for :low", LOW, VPN_LOW, block("vpn", "category", ANONYMOUS)),
    Row(":low takes every confidence", LOW, VPN_HIGH, block("vpn", "category", ANONYMOUS)),
    Row("I2 a relay is no VPN", LOW, RELAY, BY_DEFAULT),
    Row("I2 a relay is blocked where a rule names it", policy(rule("relay", "block", categories=["relay"])), RELAY, block("relay", "category", ANONYMOUS)),
    Row("I2 a relay in a cloud is neither hosting nor VPN", policy(rule("no", "block", categories=["hosting:low", "vpn:low"])), RELAY_IN_A_CLOUD, BY_DEFAULT),
    Row("I2 a relay in a cloud is blocked where a rule names it", policy(rule("relay", "block", categories=["relay"])), RELAY_IN_A_CLOUD, block("relay", "category", ANONYMOUS)),
    Row("I1 a Tor exit in a cloud is a Tor exit", policy(rule("tor", "block", categories=["tor:high"])), TOR_IN_A_CLOUD, block("tor", "category", ANONYMOUS)),
    Row("a Tor exit in a cloud is in a cloud", HOSTING, TOR_IN_A_CLOUD, warn("hosting", "category", NETWORK)),
    Row("of two claims the surer one counts, not the narrower", policy(rule("sure", "warn", categories=["hosting:high"])), VPN_IN_A_CLOUD, warn("sure", "category", NETWORK)),
    Row("I4 each claim of a network has its own confidence", MEDIUM, VPN_IN_A_CLOUD, BY_DEFAULT),
    Row("I4 a low claim beside a sure one is enough for :low", LOW, VPN_IN_A_CLOUD, block("vpn", "category", ANONYMOUS)),
    Row("I6 of the rules on two claims the first decides", policy(rule("cloud", "allow", categories=["hosting"]), rule("tor", "block", categories=["tor"])), TOR_IN_A_CLOUD, allow("cloud", "category")),
    Row("I3 a cloud without a rule meets the default", B, US, BY_DEFAULT),
    Row("hosting hides nobody", HOSTING, US, warn("hosting", "category", NETWORK)),
    Row("a rule of both kinds tells of the anonymous one", MIXED, US, block("mixed", "category", ANONYMOUS)),
    Row("a category is known without a country", HOSTING, PROBE, warn("hosting", "category", NETWORK)),
    Row("I5 language, time zone, Via and user agent say nothing", A, GB, allow("supported", "country"), headers=CLUES),
    Row("I5 nor do they help", A, CN, REFUSED, headers=(("Accept-Language", "en-GB"), ("X-Timezone", "Europe/London"))),
    Row("I6 an allow rule before a VPN rule wins", OVERLAP, VPN_HIGH, allow("brazil", "country")),
    Row("I6 a VPN rule before an allow rule wins", OVERLAP_TURNED, VPN_HIGH, block("vpn", "category", ANONYMOUS)),
    # lists, networks, asns
    Row("an address of a list is allowed before its country is blocked", PARTNERS, CN_PARTNER, allow("partners", "network")),
    Row("its neighbour is not", PARTNERS, CN, NO_CN),
    Row("an IPv6 network of a list", PARTNERS, JP_PARTNER, allow("partners", "network")),
    Row("a private address may be in a list", PRIVATE_PARTNERS, PRIVATE_PARTNER, allow("partners", "network")),
    Row("a private address that is in none is private", PRIVATE_PARTNERS, PRIVATE, block(None, "private", NETWORK)),
    Row("H7 an address is in every list that holds it, the narrow one", NESTED, IR, warn("narrow", "network", NETWORK)),
    Row("H7 an address twice in a list is in it", NESTED, "5.160.0.9", warn("narrow", "network", NETWORK)),
    Row("H7 and the wide one", NESTED, "5.160.7.7", block("wide", "network", NETWORK)),
    Row("H7 an earlier, broader rule hides a later one", HIDDEN, IR, block("wide", "network", NETWORK)),
    Row("a network is blocked", RANGES, GB, block("ranges", "network", NETWORK)),
    Row("an IPv6 network is blocked", RANGES, JP, block("ranges", "network", NETWORK)),
    Row("beyond its last address it is not", RANGES, "2001:218:1::", BY_DEFAULT),
    Row("a single address without a country is blocked", RANGES, UNKNOWN, block("ranges", "network", NETWORK)),
    Row("a rule on a private network", INSIDE, PRIVATE, warn("inside", "network", NETWORK)),
    Row("B18 a network is looked up behind a mapped address", RANGES, "::ffff:81.2.69.142", block("ranges", "network", NETWORK)),
    Row("B18 a list is looked up behind 6to4", PARTNERS, "2002:af10:c707::1", allow("partners", "network")),
    Row("H6 an allow rule for one address before its country's block", ORDER, CN, allow("one", "network")),
    Row("H6 the rest of the country stays blocked", ORDER, "175.16.199.2", NO_CN),
    Row("H6 a block rule for a network before an allow rule", ORDER, GB, block("bad", "network", NETWORK)),
    Row("an AS number is blocked", CLOUD, HK, block("cloud", "network", NETWORK)),
    Row("the country's other addresses are not", CLOUD, HK_ELSEWHERE, BY_DEFAULT),
    Row("another AS number is not", CLOUD, US, BY_DEFAULT),
    # hosts, methods, protocols
    Row("a host is compared without case", HOSTS, CN, block("api", "country", COUNTRY), host="Api.Example.COM"),
    Row("a host is compared without port", HOSTS, CN, block("api", "country", COUNTRY), host="api.example.com:8443"),
    Row("another host is not meant", HOSTS, CN, BY_DEFAULT, host="www.example.com"),
    Row("a host that ends in the same letters is not meant", HOSTS, CN, BY_DEFAULT, host="xapi.example.com"),
    Row("a star stands for a name below", HOSTS, CN, block("api", "country", COUNTRY), host="one.eu.example.com"),
    Row("a star begins at a dot", HOSTS, CN, BY_DEFAULT, host="evil-eu.example.com"),
    Row("no host is no named host", HOSTS, CN, BY_DEFAULT),
    Row("a method is compared in upper case", METHODS, CN, block("writes", "country", COUNTRY), method="POST"),
    Row("the second method", METHODS, CN, block("writes", "country", COUNTRY), method="DELETE"),
    Row("a method that is not named", METHODS, CN, BY_DEFAULT, method="GET"),
    Row("HEAD is not GET", policy(rule("get", "block", countries=["CN"], methods=["GET"])), CN, BY_DEFAULT, method="HEAD"),
    Row("E9 a method in a header has no effect", METHODS, CN, BY_DEFAULT, headers=(("X-HTTP-Method-Override", "DELETE"),)),
    Row("a WebSocket is blocked", SOCKETS, CN, block("sockets", "country", COUNTRY), protocol="websocket"),
    Row("a rule on WebSockets leaves HTTP", SOCKETS, CN, BY_DEFAULT),
    Row("a rule on HTTP leaves WebSockets", PLAIN_HTTP, CN, BY_DEFAULT, protocol="websocket"),
    Row("a rule on HTTP", PLAIN_HTTP, CN, block("http", "country", COUNTRY)),
    Row("a rule without the word takes both", B, CN, NO_CN, protocol="websocket"),
    # paths
    Row("the health path is open to a refused country", GUARDED, CN, HEALTHY, "/healthz"),
    Row("E8 a probe of no country reaches the health path", GUARDED, PROBE, HEALTHY, "/healthz"),
    Row("E8 a private probe reaches the health path", GUARDED, PRIVATE, HEALTHY, "/healthz"),
    Row("E8 a probe that nobody can tell reaches the health path", GUARDED, NOBODY, HEALTHY, "/healthz"),
    Row("E8 a probe of no country at / is guarded", GUARDED, PROBE, block(None, "unknown", COUNTRY)),
    Row("E8 a private probe at / is guarded", GUARDED, PRIVATE, block(None, "private", NETWORK)),
    Row("E8 a probe that nobody can tell at / is guarded", GUARDED, NOBODY, block(None, "unresolved", UNRESOLVED)),
    Row("E1 a path in the host is no path", GUARDED, CN, REFUSED, "/secret", host="x/healthz?"),
    *(
        Row(f"E2 {target} is not exempt", GUARDED, CN, REFUSED, target)
        for target in (
            "/healthz/../secret", "/healthz/..;/secret", "/healthz%2f..%2fsecret", "/healthz%00", "/healthz;x",
            "//healthz", "/HEALTHZ", "/healthz/", "/healthz%23",
        )
    ),
    Row("E5 without raw_path a plain path is exempt", GUARDED, CN, HEALTHY, "/healthz", has_raw=False),
    Row("E5 without raw_path an odd path is not", GUARDED, CN, REFUSED, "//healthz", has_raw=False),
    *(
        Row(f"E3 {target} is guarded", NO_ADMIN, CN, ADMIN_BLOCKED, target)
        for target in (
            "/admin", "/admin/", "/admin/x", "//admin", "/%61dmin", "/admin%2Fx", "/x/../admin", "/admin;p",
            "%5Cadmin", "/x%2F..%2Fadmin", "/%2561dmin", "/./admin",
        )
    ),
    Row("E5 without raw_path the doubled spelling is guarded", NO_ADMIN, CN, ADMIN_BLOCKED, "//admin", has_raw=False),
    *(
        Row(f"E3 {target} is guarded where the app's routes ignore case", ANY_CASE, CN, ADMIN_BLOCKED, target)
        for target in ("/admin", "/ADMIN/x", "//aDMIN", "/adm%49n", "/adm%2549n")
    ),
    Row("E3 what lets through is written as it is, even then", ANY_CASE | {"default": "block"}, CN, REFUSED, "/HEALTHZ"),
    Row("E3 case counts elsewhere", NO_ADMIN, CN, BY_DEFAULT, "/ADMIN"),
    Row("E6 a longer segment is another path", NO_ADMIN, CN, BY_DEFAULT, "/adminfoo"),
    Row("E6 a segment elsewhere is another path", NO_ADMIN, CN, BY_DEFAULT, "/x/admin"),
    Row("an exact path takes nothing below it", UNLESS_BOTH, CN, NO_CN, "/status/x"),
    Row("E7 an ACME challenge is open", ACME, CN, allow("acme", "request"), "/.well-known/acme-challenge/AbC_-9"),
    Row("E7 by GET alone", ACME, CN, NO_CN, "/.well-known/acme-challenge/AbC_-9", method="POST"),
    Row("E7 and not as a way out", ACME, CN, NO_CN, "/.well-known/acme-challenge/../x"),
    Row("E9 a URL in a header has no effect", GUARDED, CN, REFUSED, "/secret", headers=SPOOFED),
    Row("a star within a segment", GLOB, CN, block("glob", "country", COUNTRY), "/v2/chat"),
    Row("a star does not cross a segment", GLOB, CN, BY_DEFAULT, "/v2/x/chat"),
    Row("a star in the middle and all below", GLOB, CN, block("glob", "country", COUNTRY), "/files/7/raw/a/b"),
    Row("a warn rule takes a plain path", STRICT_WARN, CN, warn("noted", "country", COUNTRY), "/admin/x"),
    Row("a warn rule does not take a strange spelling", STRICT_WARN, CN, BY_DEFAULT, "//admin"),
    Row("an allowed path before the same, blocked", EXPORT, CN, allow("export", "request"), "/export/me"),
    Row("its strange spelling falls to the block", EXPORT, CN, block("no-cn", "country", COUNTRY), "/export/../v1/chat"),
    Row("and so does the doubled one", EXPORT, CN, block("no-cn", "country", COUNTRY), "//export/me"),
    # credentials, attributes
    Row("a credential opens", CREDENTIALS, CN, allow("partner", "request"), headers=partner("partner-1")),
    Row("the second sum of a credential opens", CREDENTIALS, CN, allow("partner", "request"), headers=partner("partner-2")),
    Row("a header's name has no case", CREDENTIALS, CN, allow("partner", "request"), headers=partner("partner-1", "x-partner-KEY")),
    Row("its value has", CREDENTIALS, CN, REFUSED, headers=partner("Partner-1")),
    Row("a wrong key does not open", CREDENTIALS, CN, REFUSED, headers=partner("guess")),
    Row("the sum itself does not open", CREDENTIALS, CN, REFUSED, headers=partner(sha256("partner-1"))),
    Row("the key in another header does not open", CREDENTIALS, CN, REFUSED, headers=partner("partner-1", "X-Other")),
    Row("without the header nothing opens", CREDENTIALS, CN, REFUSED),
    Row("two lines are one value", CREDENTIALS, CN, allow("partner", "request"), headers=(("X-Pair", "one"), ("X-Pair", "two"))),
    Row("a second line spoils a key", CREDENTIALS, CN, REFUSED, headers=partner("partner-1") + partner("x")),
    Row("a key on two lines is not two keys", CREDENTIALS, CN, REFUSED, headers=partner("partner-1") + partner("partner-2")),
    Row("a credential holds until the last second", CREDENTIALS, CN, allow("partner", "request"), headers=partner("Bearer staff", "Authorization"), at=LAST_SECOND),
    Row("a credential ends at its date", CREDENTIALS, CN, REFUSED, headers=partner("Bearer staff", "Authorization"), at=JULY_9),
    Row("one credential's end is not another's", CREDENTIALS, CN, allow("partner", "request"), headers=partner("partner-1"), at=JULY_9),
    Row("a credential opens for whom nobody can tell", KEYED_FIRST, NOBODY, allow("key", "request"), headers=partner("partner-1")),
    Row("who has none and cannot be told is refused", KEYED_FIRST, NOBODY, block(None, "unresolved", UNRESOLVED)),
    Row("a credential and a country, both met", KEY_AND_PLACE, HK, allow("partner", "country"), headers=partner("partner-1")),
    Row("a credential without the country", KEY_AND_PLACE, CN, REFUSED, headers=partner("partner-1")),
    Row("the country without the credential", KEY_AND_PLACE, HK, REFUSED),
    Row("attributes, all met", ELIGIBLE, CN, allow("eligible", "country"), attributes={"customer": "eligible", "deployment_region": "eu-west"}),
    Row("the values of an attribute are or-ed", ELIGIBLE, HK, allow("eligible", "country"), attributes={"customer": "trial", "deployment_region": "eu-west"}),
    Row("the names of attributes are and-ed", ELIGIBLE, CN, REFUSED, attributes={"customer": "eligible"}),
    Row("an attribute of another value", ELIGIBLE, CN, REFUSED, attributes={"customer": "eligible", "deployment_region": "cn-north"}),
    Row("more attributes than asked for do no harm", ELIGIBLE, CN, allow("eligible", "country"), attributes={"customer": "eligible", "deployment_region": "eu-west", "plan": "free"}),
    Row("attributes do not open another country", ELIGIBLE, IR, REFUSED, attributes={"customer": "eligible", "deployment_region": "eu-west"}),
    Row("a supported country needs no attributes", ELIGIBLE, GB, allow("supported", "country")),
    Row("an allow rule on attributes alone", CUSTOMERS, CN, allow("customers", "request"), attributes={"customer": "eligible"}),
    Row("it matches whom nobody can tell", CUSTOMERS, NOBODY, allow("customers", "request"), attributes={"customer": "eligible"}),
    Row("it matches a private address", CUSTOMERS, LOOPBACK, allow("customers", "request"), attributes={"customer": "eligible"}),
    Row("it matches an address of no country", CUSTOMERS, UNKNOWN, allow("customers", "request"), attributes={"customer": "eligible"}),
    # where the account was
    Row("an account seen in a country of the rule, lately", TUNNEL, CLOUD_US, TUNNELLED, account="ann", before=((CN, 3 * DAY),)),
    Row("an account that was nowhere before", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann"),
    Row("another account was seen there", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann", before=((CN, 3 * DAY, "bob"),)),
    Row("nobody was seen anywhere", TUNNEL, CLOUD_US, BY_DEFAULT, before=((CN, 3 * DAY, "ann"),)),
    Row("a name without a letter is nobody's", TUNNEL, CLOUD_US, BY_DEFAULT, account="", before=((CN, 3 * DAY),)),
    Row("an account seen in another country", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann", before=((GB, 3 * DAY),)),
    Row("a country that is named second", TUNNEL, CLOUD_US, TUNNELLED, account="ann", before=((IR, 3 * DAY),)),
    Row("seen there to the minute of the window", TUNNEL, CLOUD_US, TUNNELLED, account="ann", before=((CN, 14 * DAY),)),
    Row("seen there a minute before the window", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann", before=((CN, 14 * DAY + MINUTE),)),
    Row("the last time counts", TUNNEL, CLOUD_US, TUNNELLED, account="ann", before=((CN, 30 * DAY), (CN, DAY))),
    Row("at home the account may pass", TUNNEL, GB, BY_DEFAULT, account="ann", before=((CN, 3 * DAY),)),
    Row("seen there through a VPN, it may have been anywhere", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann", before=((VPN_MEDIUM, DAY),)),
    Row("seen there through a proxy likewise", TUNNEL, CLOUD_US, BY_DEFAULT, account="ann", before=((PROXY, DAY),)),
    Row("a VPN by name only proves nothing", IN_BRITAIN, CLOUD_US, block("tunnel", "account", ACCOUNT), account="ann", before=((VPN_LOW, DAY),)),
    Row("Tor is not where its exit is", IN_BRITAIN, CLOUD_US, BY_DEFAULT, account="ann", before=((TOR, DAY),)),
    Row("a relay keeps its user's country", RELAYED, GB, block("no-se", "account", ACCOUNT), account="ann", before=((RELAY, DAY),)),
    Row("the request at hand counts", SEEN_HERE, CN, block("here", "account", ACCOUNT), account="ann"),
    Row("the request at hand of nobody does not", SEEN_HERE, CN, BY_DEFAULT),
    Row("through the category that is named", THROUGH_CLOUD, GB, block("cloud", "account", ACCOUNT), account="ann", before=((CLOUD_US, DAY),)),
    Row("not through it", THROUGH_CLOUD, GB, BY_DEFAULT, account="ann", before=((TEXAS, DAY),)),
    Row("through a VPN that is named", THROUGH_VPN, GB, block("vpn", "account", ACCOUNT), account="ann", before=((VPN_MEDIUM, DAY),)),
    Row("through one of low confidence", THROUGH_VPN, US, BY_DEFAULT, account="ann", before=((VPN_LOW, DAY),)),
    Row("seen outside of the supported countries", ABROAD, CLOUD_US, block("abroad", "account", ACCOUNT), account="ann", before=((CN, DAY),)),
    Row("seen inside them, and here", ABROAD, CLOUD_US, BY_DEFAULT, account="ann", before=((GB, DAY), (SE, 2 * DAY))),
    Row("seen in no country", ABROAD, CLOUD_US, BY_DEFAULT, account="ann", before=((UNKNOWN, DAY), (PRIVATE, DAY))),
    Row("in more countries than the rule says", HOPPING, GB, warn("hopping", "account", ACCOUNT), account="ann", before=((CN, HOUR), (SE, HOUR))),
    Row("in as many", HOPPING, GB, BY_DEFAULT, account="ann", before=((CN, HOUR), (CN, HOUR))),
    Row("in as many, and one too long ago", HOPPING, GB, BY_DEFAULT, account="ann", before=((SE, 25 * HOUR), (CN, HOUR))),
    Row("in as many, and one through a VPN", HOPPING, GB, BY_DEFAULT, account="ann", before=((VPN_HIGH, HOUR), (CN, HOUR))),
    Row("nobody is in many countries", HOPPING, GB, BY_DEFAULT, before=((CN, HOUR, "ann"), (SE, HOUR, "ann"))),
    Row("both words about an account are and-ed", BOTH_PASTS, GB, block("both", "account", ACCOUNT), account="ann", before=((CN, HOUR),)),
    Row("only one of the words about an account met", BOTH_PASTS, GB, BY_DEFAULT, account="ann", before=((SE, HOUR),)),
    Row("an exception for those who were at home lately", UNLESS_HOME, CN, BY_DEFAULT, account="ann", before=((GB, DAY),)),
    Row("an exception for accounts is none for nobody", UNLESS_HOME, CN, NO_CN, before=((GB, DAY, "ann"),)),
    Row("an allow rule on the account alone", KNOWN_HERE, CN, allow("known", "account"), account="ann", before=((GB, DAY),)),
    Row("a known account may pass even if its address cannot be told", KNOWN_HERE, NOBODY, allow("known", "account"), account="ann", before=((GB, DAY),)),
    Row("it does not match a stranger", KNOWN_HERE, CN, REFUSED, account="ann"),
    Row("i6: an allow rule before the tunnel's decides first", PARTNER_TUNNEL, CLOUD_US, allow("partner", "request"), account="ann", headers=partner("partner-1"), before=((CN, DAY),)),
    Row("a tunnel in a dry run", {**TUNNEL, "mode": "dry-run"}, CLOUD_US, dry("block", "tunnel", "account", ACCOUNT), account="ann", before=((CN, DAY),)),
    Row("a tunnel in an emergency", TUNNEL, CLOUD_US, relieved("tunnel", "account", ACCOUNT), account="ann", before=((CN, DAY),), emergency=True),
    # data that is too old
    Row("H8 the last second before the hard limit", UNTIL_JULY_9, CN, NO_CN, at=LAST_SECOND),
    Row("H8 at the hard limit there is no data", UNTIL_JULY_9, CN, NO_DATA, at=JULY_9),
    Row("H8 nor for whom no rule names", UNTIL_JULY_9, GB, NO_DATA, at=JULY_9),
    Row("H8 nor for an address of no country", UNTIL_JULY_9, UNKNOWN, NO_DATA, at=JULY_9),
    Row("H8 a private address stays private", UNTIL_JULY_9, PRIVATE, allow(None, "private"), at=JULY_9),
    Row("H8 who cannot be told cannot be told", UNTIL_JULY_9, NOBODY, block(None, "unresolved", UNRESOLVED), at=JULY_9),
    Row("H8 without data the owner may allow", UNTIL_JULY_9 | {"fallback": {"no_data": "allow"}}, CN, old(allow(None, "no_data"), "country"), at=JULY_9),
    Row("H8 or warn", UNTIL_JULY_9 | {"fallback": {"no_data": "warn"}}, CN, old(warn(None, "no_data", "location_unavailable"), "country"), at=JULY_9),
    Row("H8 in a dry run", UNTIL_JULY_9 | {"mode": "dry-run"}, CN, old(dry("block", None, "no_data", "location_unavailable"), "country"), at=JULY_9),
    Row("H8 in an emergency", UNTIL_JULY_9, CN, old(relieved(None, "no_data", "location_unavailable"), "country"), at=JULY_9, emergency=True),
    Row("H8 countries that are kept block", KEPT[0], CN, old(NO_CN, "country"), at=JULY_9),
    Row("H8 and allow", KEPT[1], GB, old(BY_DEFAULT, "country"), at=JULY_9),
    Row("H8 a private address has no country that could be old", KEPT[1], PRIVATE, allow(None, "private"), at=JULY_9),
    Row("H8 a network is one without data", RANGES | AGED, GB, old(block("ranges", "network", NETWORK), "country"), at=JULY_9),
    Row("H8 a subdivision is gone", REGIONS | AGED, CRIMEA, NO_DATA, at=JULY_9),
    Row("H8 a continent is gone", CONTINENTS | AGED, GB, NO_DATA, at=JULY_9),
    Row("H8 a category is not", ANONYMISERS | AGED, TOR, old(block("anonymous", "category", ANONYMOUS), "country"), at=JULY_9),
    Row("H8 an AS number is not", CLOUD | AGED, HK, old(block("cloud", "network", NETWORK), "country"), at=JULY_9),
    Row("H8 a health path is open without data", GUARDED | AGED, CN, old(HEALTHY, "country"), "/healthz", at=JULY_9),
    Row("H8 everyone but a country is everyone", EVERYONE_ELSE | AGED, GB, old(block("everyone-else", "country", COUNTRY), "country"), at=JULY_9),
    Row("H8 without data an account is nowhere", SEEN_HERE | AGED, CN, NO_DATA, account="ann", at=JULY_9),
    Row("I7 the last second before a category's limit", OLD_TOR, TOR, block("anonymous", "category", ANONYMOUS), at=LAST_SECOND),
    Row("I7 a category past its limit is ignored", OLD_TOR, TOR, old(BY_DEFAULT, "tor"), at=JULY_9),
    Row("I7 or kept", OLD_TOR_KEPT, TOR, old(block("anonymous", "category", ANONYMOUS), "tor"), at=JULY_9),
    Row("I7 another category goes on", OLD_TOR, PROXY, block("anonymous", "category", ANONYMOUS), at=JULY_9),
    Row("I7 who is in none has nothing old", OLD_TOR, GB, BY_DEFAULT, at=JULY_9),
    Row("I7 an account is no longer seen through it", IN_BRITAIN | {"categories": OLD_TOR["categories"]}, CLOUD_US, block("tunnel", "account", ACCOUNT), account="ann", before=((TOR, MINUTE),), at=JULY_9 + HOUR),
    Row("a list until its limit", OLD_PARTNERS, CN_PARTNER, allow("partners", "network"), at=LAST_SECOND),
    Row("a list past its limit is ignored", OLD_PARTNERS, CN_PARTNER, old(block("no-cn", "country", COUNTRY), "list partners"), at=JULY_9),
    Row("or kept", OLD_PARTNERS_KEPT, CN_PARTNER, old(allow("partners", "network"), "list partners"), at=JULY_9),
    Row("who is in no list has nothing old", OLD_PARTNERS, CN, block("no-cn", "country", COUNTRY), at=JULY_9),
    # and-ed words
    Row("all words met", ALL_WORDS, expected=block("narrow", "country", COUNTRY), **met()),
    Row("all words but the country", ALL_WORDS, expected=BY_DEFAULT, **met(who=CN)),
    Row("all words but the AS number", ALL_WORDS, expected=BY_DEFAULT, **met(who=HK_ELSEWHERE)),
    Row("the other country is not in the AS", ALL_WORDS, expected=BY_DEFAULT, **met(who=US)),
    Row("all words but the host", ALL_WORDS, expected=BY_DEFAULT, **met(host="example.com")),
    Row("all words but the path", ALL_WORDS, expected=BY_DEFAULT, **met(target="/v2/chat")),
    Row("all words but the method", ALL_WORDS, expected=BY_DEFAULT, **met(method="PUT")),
    Row("all words but the protocol", ALL_WORDS, expected=BY_DEFAULT, **met(protocol="websocket")),
    Row("all words, the path in a strange spelling", ALL_WORDS, expected=block("narrow", "country", COUNTRY), **met(target="/x/../v1/chat")),
    Row("three words about where from, all met", WHERE_TWICE, TOR, block("both", "category", ANONYMOUS)),
    Row("the other value of two of them", WHERE_TWICE, VPN_LOW, block("both", "category", ANONYMOUS)),
    Row("one of the three not met", WHERE_TWICE, "81.2.69.100", BY_DEFAULT),
    Row("another one not met", WHERE_TWICE, VPN_HIGH, BY_DEFAULT),
    # unless
    Row("an exception does not stand in the way", UNLESS_PATHS, CN, NO_CN, "/v1/chat"),
    Row("an excepted path", UNLESS_PATHS, CN, BY_DEFAULT, "/status/today"),
    Row("another excepted path", UNLESS_PATHS, CN, BY_DEFAULT, "/healthz"),
    Row("an excepted path is strict, although the rule blocks", UNLESS_PATHS, CN, NO_CN, "//healthz"),
    Row("an excepted path is no way out", UNLESS_PATHS, CN, NO_CN, "/status/../v1"),
    Row("an exception makes no other country match", UNLESS_PATHS, GB, BY_DEFAULT, "/v1/chat"),
    Row("the words of an exception are and-ed, both met", UNLESS_BOTH, CN, BY_DEFAULT, "/status"),
    Row("one of them not met", UNLESS_BOTH, CN, NO_CN, "/status", method="POST"),
    Row("the first of two exceptions", UNLESS_EITHER, CN, BY_DEFAULT, "/status", method="POST"),
    Row("the second of two exceptions", UNLESS_EITHER, CN, BY_DEFAULT, "/v1", method="HEAD", host="a.example"),
    Row("half of the second", UNLESS_EITHER, CN, NO_CN, "/v1", method="HEAD"),
    Row("an excepted credential", UNLESS_KEY, CN, BY_DEFAULT, headers=partner("partner-1")),
    Row("a wrong one is no exception", UNLESS_KEY, CN, NO_CN, headers=partner("guess")),
    Row("an excepted attribute", UNLESS_CUSTOMER, CN, BY_DEFAULT, attributes={"customer": "eligible"}),
    Row("another value is no exception", UNLESS_CUSTOMER, CN, NO_CN, attributes={"customer": "new"}),
    Row("an excepted list", UNLESS_LIST, CN_PARTNER, BY_DEFAULT),
    Row("outside the excepted list", UNLESS_LIST, CN, NO_CN),
    Row("a category is an exception to an allow rule", UNLESS_VPN, TOR, REFUSED),
    Row("the exception asks for medium confidence", UNLESS_VPN, VPN_LOW, allow("supported", "country")),
    Row("and has it", UNLESS_VPN, VPN_MEDIUM, REFUSED),
    Row("an excepted subdivision", UNLESS_REGION, CRIMEA, REFUSED),
    Row("the rest of the country", UNLESS_REGION, UA, allow("ukraine", "country")),
    Row("an excepted AS number", UNLESS_AS, HK, BY_DEFAULT),
    Row("outside the excepted AS", UNLESS_AS, HK_ELSEWHERE, block("no-hk", "country", COUNTRY)),
    Row("an excepted protocol", UNLESS_SOCKET, CN, BY_DEFAULT, protocol="websocket"),
    Row("the other protocol", UNLESS_SOCKET, CN, NO_CN),
    Row("an excepted continent", UNLESS_CONTINENT, GB, BY_DEFAULT),
    Row("another continent", UNLESS_CONTINENT, JP, block("not-europe", "country", COUNTRY)),
    Row("everyone else: a named country", EVERYONE_ELSE, GB, BY_DEFAULT),
    Row("everyone else: a member of a named group", EVERYONE_ELSE, SE, BY_DEFAULT),
    Row("everyone else: a country, and told so", EVERYONE_ELSE, CN, block("everyone-else", "country", COUNTRY)),
    Row("everyone else: an IPv6 client", EVERYONE_ELSE, JP, block("everyone-else", "country", COUNTRY)),
    Row("everyone else: an address of no country", EVERYONE_ELSE, UNKNOWN, block("everyone-else", "country", COUNTRY)),
    Row("everyone else: a private address", EVERYONE_ELSE, PRIVATE, block("everyone-else", "country", COUNTRY)),
    Row("everyone else is not whom nobody can tell", EVERYONE_ELSE, NOBODY, block(None, "unresolved", UNRESOLVED)),
    Row("everyone else of one family: an IPv4 client", EVERYONE_ELSE_4, CN, block("everyone-else", "country", COUNTRY)),
    Row("everyone else of one family: an IPv6 client is not meant", EVERYONE_ELSE_4, JP, BY_DEFAULT),
    Row("everyone else of the other family", EVERYONE_ELSE_6, JP, block("everyone-else", "country", COUNTRY)),
    Row("everyone in a network but for some countries goes by the network", ELSEWHERE, IR, block("wide", "network", NETWORK)),
    # schedules
    Row("before the first date it is allowed", STORY, CN, allow("everyone-else", "country"), at=JUNE_24),
    Row("on the first date it is warned", STORY, CN, warn("everyone-else", "country", COUNTRY), at=JUNE_25),
    Row("one second before the second date it is warned", STORY, CN, warn("everyone-else", "country", COUNTRY), at=LAST_SECOND),
    Row("on the second date it is blocked", STORY, CN, block("everyone-else", "country", COUNTRY), at=JULY_9),
    Row("a supported country at the second date", STORY, GB, BY_DEFAULT, at=JULY_9),
    Row("a Tor exit is blocked before any date", STORY, TOR, block("tor", "category", ANONYMOUS), at=JUNE_24),
    Row("the health path at the second date", STORY, CN, HEALTHY, "/healthz", at=JULY_9),
    Row("H9 one second before block_from alone it is allowed", DATED, CN, allow("no-cn", "country"), at=LAST_SECOND),
    Row("H9 at block_from it is blocked", DATED, CN, NO_CN, at=JULY_9),
    Row("H9 after block_from it is blocked", DATED, CN, NO_CN, at=utc(2030, 1, 1)),
    Row("before warn_from alone it is allowed", WARNED, CN, allow("warn-cn", "country"), at=LAST_SECOND),
    Row("after warn_from alone it is warned for ever", WARNED, CN, warn("warn-cn", "country", COUNTRY), at=utc(2030, 1, 1)),
    Row("a date in another zone is the same moment", policy(rule("no-cn", countries=["CN"], block_from=datetime.fromisoformat("2024-07-09T02:00:00+02:00"))), CN, NO_CN, at=JULY_9),
    Row("a schedule that allows decides, and hides what follows", FIRST_ALLOWED, CN, allow("dated", "country"), at=NOW),
    Row("a schedule is strict while it allows", TURNING, CN, warn("rest", "country", COUNTRY), "//admin", at=JUNE_24),
    Row("a schedule that allows takes a plain path", TURNING, CN, allow("admin", "country"), "/admin", at=JUNE_24),
    Row("a schedule is strict while it warns", TURNING, CN, warn("rest", "country", COUNTRY), "//admin", at=JUNE_25),
    Row("a schedule is broad once it blocks", TURNING, CN, ADMIN_BLOCKED, "//admin", at=JULY_9),
    Row("a rule holds until its last second", ENDING, CN, NO_CN, at=LAST_SECOND),
    Row("a rule has ended at its end", ENDING, CN, BY_DEFAULT, at=JULY_9),
    Row("an ending allow rule", GRACE, CN, allow("grace", "country"), at=LAST_SECOND),
    Row("gives way to the next rule", GRACE, CN, NO_CN, at=JULY_9),
    Row("a schedule with an end blocks between", ENDING_SCHEDULE, CN, NO_CN, at=JUNE_25),
    Row("and has ended at its end", ENDING_SCHEDULE, CN, BY_DEFAULT, at=JULY_9),
    # count
    Row("a counting rule goes on to the default", COUNTING, US, allow(None, "default", "hosting", "far")),
    Row("a counting rule goes on to a block; an ended and a later one count nothing", COUNTING, CN, block("no-cn", "country", COUNTRY, "far")),
    Row("before its end it counts, too", COUNTING, CN, block("no-cn", "country", COUNTRY, "far", "late"), at=JUNE_24),
    Row("a counting rule goes on to a fallback", COUNTING, PROBE, allow(None, "unknown", "hosting")),
    Row("a counting rule after all others", COUNTING, GB, allow(None, "default", "after")),
    Row("a counting rule takes a plain path", COUNTED_PATHS, CN, allow(None, "default", "tried"), "/admin"),
    Row("a counting rule does not take a strange spelling", COUNTED_PATHS, CN, BY_DEFAULT, "//admin"),
    # dry run
    Row("I8 a dry run lets a block through", DRY, CN, dry("block", "no-cn", "country", COUNTRY)),
    Row("I8 a dry run lets a warning through", DRY, HK, dry("warn", "hk", "country", COUNTRY)),
    Row("I8 a dry run tells what it would allow", DRY, GB, dry("allow", None, "default", None)),
    Row("I8 a dry run lets whom nobody can tell through", DRY, NOBODY, dry("block", None, "unresolved", UNRESOLVED)),
    Row("I8 a dry run of an allow list", DRY_ALLOW_LIST, CN, dry("block", None, "default", COUNTRY)),
    Row("I8 a dry run counts", DRY_COUNT, CN, dry("block", "no-cn", "country", COUNTRY, "seen")),
    # fallback
    Row("H3 an address of no country meets a block list", B, UNKNOWN, allow(None, "unknown")),
    Row("H3 an address of no country meets an allow list", A, UNKNOWN, block(None, "unknown", COUNTRY)),
    Row("H3 a private address meets a block list", B, PRIVATE, allow(None, "private")),
    Row("H3 a private address meets an allow list", A, LOOPBACK, block(None, "private", NETWORK)),
    Row("H3 a client that cannot be told meets a block list", B, NOBODY, block(None, "unresolved", UNRESOLVED)),
    Row("H3 a client that cannot be told meets an allow list", A, NOBODY, block(None, "unresolved", UNRESOLVED)),
    Row("a stated fallback for no country", FALLBACK, UNKNOWN, warn(None, "unknown", COUNTRY)),
    Row("a stated fallback for private addresses", FALLBACK, PRIVATE, block(None, "private", NETWORK)),
    Row("a stated fallback for unresolved clients", FALLBACK, NOBODY, allow(None, "unresolved")),
    Row("a stated fallback leaves the rules", FALLBACK, CN, NO_CN),
    Row("an allow list that is open to private addresses", OPEN_ALLOW_LIST, PRIVATE, allow(None, "private")),
    Row("an allow list that warns whom nobody can tell", OPEN_ALLOW_LIST, NOBODY, warn(None, "unresolved", UNRESOLVED)),
    Row("and leaves the cases that are not stated", OPEN_ALLOW_LIST, UNKNOWN, block(None, "unknown", COUNTRY)),
    Row("rules are tried before the fallback", PROBES, PROBE, allow("probes", "category"), "/healthz"),
    Row("the fallback where they do not match", PROBES, PROBE, block(None, "unknown", COUNTRY)),
    Row("a policy without rules is its default", policy(default="block"), GB, REFUSED),
    # the emergency switch
    Row("H10 in an emergency a block is a warning", B, CN, relieved("no-cn", "country", COUNTRY), emergency=True),
    Row("H10 and so is the default's", A, CN, relieved(None, "default", COUNTRY), emergency=True),
    Row("H10 and a fallback's", B, NOBODY, relieved(None, "unresolved", UNRESOLVED), emergency=True),
    Row("H10 a warning stays one", AREA, NO, warn("area", "country", COUNTRY), emergency=True),
    Row("H10 an allow stays one", A, GB, allow("supported", "country"), emergency=True),
    Row("H10 a schedule's block is a warning", DATED, CN, relieved("no-cn", "country", COUNTRY), at=JULY_9, emergency=True),
]  # fmt: skip

rows = pytest.mark.parametrize("row", [pytest.param(row, id=row.says) for row in ROWS])


def told(decision: Decision) -> Answer:
    """A decision in the plain evaluator's words."""
    return Answer(
        decision.action.value,
        decision.rule,
        decision.reason.value,
        None if decision.code is None else decision.code.value,
        None if decision.would is None else decision.would.value,
        decision.counted,
        decision.emergency,
        frozenset(decision.stale),
    )


def world_database() -> Database:
    return tiny_database(
        {**WORLD.countries, **WORLD.subdivisions},
        WORLD.networks,
        asns=WORLD.asns,
        date=WORLD.date.date(),
    )


def write_list(folder: Path, name: str) -> None:
    path = folder / f"{name}.txt"
    path.write_text("\n".join(WORLD.lists[name]))
    os.utime(path, (WORLD.date.timestamp(), WORLD.date.timestamp()))


@pytest.fixture(scope="session")
def world() -> Database:
    return world_database()


@pytest.fixture
def engine_of(row: Row, world: Database, tmp_path: Path) -> Engine:
    """An engine whose clock stands at the row's time."""
    document = dict(row.policy)
    if "lists" in document:
        for name in WORLD.lists:
            write_list(tmp_path, name)
        document["lists"] = {
            name: {**lines, "path": str(tmp_path / lines["path"])} for name, lines in document["lists"].items()
        }  # fmt: skip
    if row.emergency:
        (tmp_path / "emergency").touch()
        document["emergency_file"] = str(tmp_path / "emergency")
    engine = Engine(document, database=world, clock=row.at.timestamp)
    for one in row.earlier:
        engine.decide(one.address, account=one.account, at=one.at)
    return engine


def test_the_table_has_its_rows() -> None:
    assert len({row.says for row in ROWS}) == len(ROWS) >= 150


@rows
def test_the_plain_evaluator_says_what_the_table_says(row: Row) -> None:
    history: list[Seen] = []
    for one in row.earlier:
        decide(row.policy, WORLD, one, history)
    assert decide(row.policy, WORLD, row.asked, history) == row.expected


def test_a_decision_tells_the_country_the_form_and_the_dates_of_a_warning(world: Database) -> None:
    dated = rule("dated", countries=["CN"], warn_from=JUNE_25, block_from=JULY_9, response="html")
    other = rule("other", "block", countries=["HK"])
    engine = Engine(policy(dated, other), database=world)

    def tells(who: str, at: datetime) -> tuple[str | None, str | None, object, object]:
        decision = engine.decide(who, at=at)
        return decision.country, decision.response, decision.warn_from, decision.block_from

    assert tells(CN, JUNE_24) == ("CN", None, None, None)
    assert tells(CN, NOW) == ("CN", "html", JUNE_25, JULY_9)
    assert tells(CN, JULY_9) == ("CN", "html", None, None)
    assert tells(HK, NOW) == ("HK", None, None, None)
    assert tells(UNKNOWN, NOW) == (None, None, None, None)


@rows
def test_the_engine_says_what_the_table_says(row: Row, engine_of: Engine) -> None:
    asked = row.asked
    question: dict[str, Any] = {
        "path": asked.path,
        "raw_path": asked.raw_path,
        "method": asked.method,
        "host": asked.host,
        "protocol": asked.protocol,
        "headers": asked.headers,
        "attributes": asked.attributes,
        "account": asked.account,
    }
    assert told(engine_of.decide(asked.address, **question)) == row.expected
    assert told(engine_of.decide(asked.address, **question, at=asked.at)) == row.expected


def sent(row: Row) -> web.Request:
    host = (("host", row.host),) if row.host else ()
    return web.Request(
        peer=row.who, method=row.method, target=row.target, headers=(*host, *row.headers)
    )


def counted_once(engine: Engine) -> Answer:
    ((decision, count),) = engine.counts.items()
    assert count == 1
    return told(decision)


def status_of(row: Row) -> int:
    return 503 if row.expected.code == "location_unavailable" else 403


@rows
def test_the_asgi_middleware_does_what_the_table_says(row: Row, engine_of: Engine) -> None:
    app = web.Recorder()
    guarded = asgi.GeoRestrictMiddleware(
        app.asgi,
        engine=engine_of,
        attributes=lambda scope: row.attributes,
        identify=lambda scope: row.account,
        annotate=True,
    )
    scope = web.scope_of(sent(row), type=row.protocol)
    if not row.has_raw:
        del scope["raw_path"]
    start, *_ = web.run_asgi(guarded, scope, ({"type": "websocket.connect"},))
    assert counted_once(engine_of) == counted(row.expected)
    assert app.served is (row.expected.action != "block")
    if app.served:
        assert told(app.left["georestrict"]) == row.expected
    elif row.protocol == "websocket":
        assert start == {"type": "websocket.close", "code": 1008, "reason": ""}
    else:
        assert start["status"] == status_of(row)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.says)
        for row in ROWS
        if row.protocol == "http" and row.has_raw  # WSGI has no WebSockets, web.py the raw path
    ],
)
def test_the_wsgi_middleware_does_what_the_table_says(row: Row, engine_of: Engine) -> None:
    answer = web.through_wsgi(
        sent(row),
        engine=engine_of,
        attributes=lambda environ: row.attributes,
        identify=lambda environ: row.account,
        annotate=True,
    )
    assert counted_once(engine_of) == counted(row.expected)
    assert (answer.status, answer.served) == (
        (status_of(row), False) if row.expected.action == "block" else (200, True)
    )
    if answer.served:
        assert answer.decision is not None
        assert told(answer.decision) == row.expected
    else:
        code = b"" if row.method == "HEAD" else f'"{row.expected.code}"'.encode()
        assert code in answer.body
