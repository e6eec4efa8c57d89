"""Providers whose files can be asked for by name: ``fetch = "maxmind:GeoLite2-Country"``.

Every address is from its provider's documentation, or from the programs that use it; none of them
could be tried where this was written. ``docs/updating.md`` says what is known of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_REGISTRIES = {
    "afrinic": "https://ftp.afrinic.net/pub/stats/afrinic/delegated-afrinic-extended-latest",
    "apnic": "https://ftp.apnic.net/stats/apnic/delegated-apnic-extended-latest",
    "arin": "https://ftp.arin.net/pub/stats/arin/delegated-arin-extended-latest",
    "lacnic": "https://ftp.lacnic.net/pub/stats/lacnic/delegated-lacnic-extended-latest",
    "ripencc": "https://ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest",
}
_TOR_CONFIG = "https://gitlab.torproject.org/tpo/core/tor/-/raw/main/src/config"
_MAXMIND = "https://download.maxmind.com/geoip/databases/{name}/download"
_MAXMIND_AUTH = MappingProxyType(
    {"user_env": "MAXMIND_ACCOUNT_ID", "password_env": "MAXMIND_LICENSE_KEY"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a name stands for; in the addresses ``{name}`` is what stands behind the colon."""

    url: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)  #: for a folder: name and address
    checksum: str | None = None  #: what is appended to the address of a file
    member: str | None = None
    auth: Mapping[str, str] = field(default_factory=dict)


# A pattern for what stands behind the colon; the first that matches tells.
_OFFERS: dict[str, tuple[tuple[str, Offer], ...]] = {
    # dev.maxmind.com/geoip/updating-databases: Basic authentication, a redirect to a signed address
    "maxmind": (
        (
            r"[A-Za-z0-9-]+-CSV",
            Offer(url=f"{_MAXMIND}?suffix=zip", checksum=".sha256", auth=_MAXMIND_AUTH),
        ),
        (
            r"[A-Za-z0-9-]+",
            Offer(
                url=f"{_MAXMIND}?suffix=tar.gz",
                checksum=".sha256",
                member="*.mmdb",
                auth=_MAXMIND_AUTH,
            ),
        ),
    ),
    # db-ip.com/db/lite.php: a new address every month, and no checksum beside the file
    "dbip": (
        (
            r"[a-z-]+-lite\.(?:mmdb|csv)",
            Offer(url="https://download.db-ip.com/free/dbip-{stem}-{month}.{suffix}.gz"),
        ),
    ),
    # ipinfo.io/developers: the token as the user of Basic authentication, a redirect to a signed
    # address; /checksums answers {"checksums": {"md5": …, "sha1": …, "sha256": …}}
    "ipinfo": (
        (
            r"(?:free/)?[a-z0-9_]+\.(?:mmdb|csv\.gz)",
            Offer(
                url="https://ipinfo.io/data/{name}",
                checksum="/checksums",
                auth=MappingProxyType({"user_env": "IPINFO_TOKEN"}),
            ),
        ),
    ),
    # gitlab.torproject.org/tpo/tpa/wiki-replica, exit-ops; metrics.torproject.org/collector.html
    "tor": (
        ("exits", Offer(url="https://check.torproject.org/torbulkexitlist")),
        ("exit-addresses", Offer(url="https://check.torproject.org/exit-addresses")),
        (
            "collector",
            Offer(url="https://collector.torproject.org/recent/exit-lists/{hour}-02-00"),
        ),
        ("geoip", Offer(files={each: f"{_TOR_CONFIG}/{each}" for each in ("geoip", "geoip6")})),
    ),
    "feed": (
        ("aws", Offer(url="https://ip-ranges.amazonaws.com/ip-ranges.json")),
        ("google-cloud", Offer(url="https://www.gstatic.com/ipranges/cloud.json")),
        ("google", Offer(url="https://www.gstatic.com/ipranges/goog.json")),
        # Linked from microsoft.com/download/details.aspx?id=56519, a page made by a script. The
        # folder has stayed for years; the file has the day of its publication in its name.
        (
            "azure",
            Offer(
                url="https://download.microsoft.com/download/7/1/d/"
                "71d86715-5596-4529-9b13-da13a5de5b63/ServiceTags_Public_{day}.json"
            ),
        ),
        ("oracle", Offer(url="https://docs.oracle.com/en-us/iaas/tools/public_ip_ranges.json")),
        ("cloudflare", Offer(url="https://api.cloudflare.com/client/v4/ips")),
        ("fastly", Offer(url="https://api.fastly.com/public-ip-list")),
        ("github", Offer(url="https://api.github.com/meta")),
        ("apple-relay", Offer(url="https://mask-api.icloud.com/egress-ip-ranges.csv")),
        ("digitalocean", Offer(url="https://digitalocean.com/geo/google.csv")),
        ("linode", Offer(url="https://geoip.linode.com/")),
    ),
    # nro.net/statistics: each file has an .md5 beside it
    "registry": (
        (
            "all",
            Offer(
                files={url.rpartition("/")[2]: url for url in _REGISTRIES.values()},
                checksum=".md5",
            ),
        ),
        *((name, Offer(url=url, checksum=".md5")) for name, url in _REGISTRIES.items()),
    ),
}

#: How names look, for messages and for the documentation.
NAMES = (
    "maxmind:EDITION",
    "maxmind:EDITION-CSV",
    "dbip:WHAT-lite.mmdb",
    "ipinfo:FILE",
    *(f"tor:{pattern}" for pattern, _ in _OFFERS["tor"]),
    *(f"feed:{pattern}" for pattern, _ in _OFFERS["feed"]),
    *(f"registry:{pattern}" for pattern, _ in _OFFERS["registry"]),
)


def find(written: str) -> Offer | None:
    """Return what a name stands for, with the name in its addresses, or None."""
    provider, _, name = written.partition(":")
    for pattern, offer in _OFFERS.get(provider, ()):
        if re.fullmatch(pattern, name):
            stem, _, suffix = name.partition(".")
            url = offer.url
            for word, said in (("{name}", name), ("{stem}", stem), ("{suffix}", suffix)):
                url = url.replace(word, said) if url else None
            return Offer(
                url=url,
                files=offer.files,
                checksum=offer.checksum,
                member=offer.member,
                auth=offer.auth,
            )
    return None
