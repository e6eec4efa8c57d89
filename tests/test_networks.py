"""What a network is for: the curated AS numbers, and what names suggest."""

from __future__ import annotations

import csv
import random
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest

from georestrict.networks import Category, Confidence, classify, hosting, names
from georestrict.sources import packed

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "data/hosting_asns.csv"
KINDS = {"cdn", "hosting", "hosting+proxy", "hosting+vpn"}

# Access providers, mobile networks and carriers: their customers are people.
ACCESS = {
    "Comcast": 7922, "AT&T": 7018, "Verizon": 701, "Verizon Wireless": 6167, "T-Mobile US": 21928,
    "Charter": 20115, "Cox": 22773, "CenturyLink": 209, "Windstream": 7029, "Starlink": 14593,
    "Google Fiber": 16591, "Bell Canada": 577, "Rogers": 812, "Shaw": 6327, "Telus": 852,
    "Deutsche Telekom": 3320, "Vodafone Germany": 3209, "O2 Germany": 6805, "1&1 Versatel": 8881,
    "Orange": 3215, "Free": 12322, "Free Mobile": 51207, "SFR": 15557, "Bouygues": 5410,
    "BT": 2856, "Virgin Media": 5089, "Sky UK": 5607, "TalkTalk": 13285, "O2 Wifi": 41012,
    "Telefonica Spain": 3352, "Vodafone Spain": 12430, "Orange Spain": 12479, "TIM": 3269,
    "Wind Tre": 1267, "Fastweb": 12874, "Fiberhost": 39834, "KPN": 1136, "Ziggo": 33915,
    "Proximus": 5432, "Telenet": 6848, "Telia": 3301, "Tele2": 1257, "Telenor": 2119,
    "Bahnhof": 8473, "TDC": 3292, "Elisa": 719, "Orange Poland": 5617, "A1 Austria": 8447,
    "Swisscom": 3303, "Digi Romania": 8708, "OTE": 6799, "Turk Telekom": 9121, "Superonline": 34984,
    "Rostelecom": 12389, "MTS": 8359, "Vimpelcom": 8402, "Kyivstar": 15895, "Vodafone Ukraine": 21497,
    "Triolan": 13188, "Beltelecom": 6697, "beCloud": 60330, "ChinaNet": 4134, "China Unicom": 4837,
    "China Mobile": 9808, "CERNET": 4538, "BSNL": 9829, "Jio": 55836, "Airtel India": 24560,
    "VNPT": 45899, "Viettel": 7552, "Telkomsel": 23693, "Biznet": 17451, "TM": 4788, "PLDT": 9299,
    "True": 17552, "NTT OCN": 4713, "KDDI": 2516, "SoftBank": 17676, "Korea Telecom": 4766,
    "SK Broadband": 9318, "HiNet": 3462, "HKBN": 9269, "HGC": 9304, "PCCW": 4760, "SingNet": 3758,
    "Telstra": 1221, "Optus": 4804, "Uninet Mexico": 8151, "Vivo": 26599, "Claro Brazil": 28573,
    "Telecom Argentina": 7303, "CANTV": 8048, "ANTEL": 6057, "STC": 25019, "Etisalat": 5384,
    "TCI Iran": 58224, "Asiatech": 43754, "TE Data": 8452, "Maroc Telecom": 6713,
    "MTN Nigeria": 29465, "Airtel Nigeria": 36873, "KKON": 36920, "Safaricom": 33771,
    "Afrihost": 37611, "MTN South Africa": 16637, "Vodacom": 29975, "Telkom South Africa": 5713,
    "Bezeq": 8551, "M247 UK, access for companies": 16247,
    "Cogent": 174, "Lumen": 3356, "Arelion": 1299, "GTT": 3257, "Hurricane Electric": 6939,
    "NTT": 2914, "Tata": 6453, "Zayo": 6461, "Liberty Global": 6830, "Telxius": 12956,
    # what stands between people and the internet, or shields others' addresses
    "Zscaler": 22616, "Netskope": 55256, "Cato": 13150, "Prolexic": 32787, "IPXO": 834,
}  # fmt: skip


def table() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_of_as_numbers_is_sorted_complete_and_known_in_kind() -> None:
    rows = table()
    assert len(rows) > 600
    assert list(rows[0]) == ["number", "name", "kind", "why"]
    numbers = [int(row["number"]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert {row["kind"] for row in rows} == KINDS
    for row in rows:
        for field in row.values():
            assert field
            assert field == field.strip()
            assert field.isprintable()
        assert "|" not in row["name"]  # stands between claims


def test_no_access_provider_and_no_carrier_is_in_the_table() -> None:
    numbers = {int(row["number"]) for row in table()}
    assert {name: number for name, number in ACCESS.items() if number in numbers} == {}


def test_the_first_of_a_kind_is_medium_and_what_may_come_with_it_is_low() -> None:
    known = hosting.read(TABLE)
    assert known[24940] == "hosting:medium:Hetzner"
    assert known[13335] == "cdn:medium:Cloudflare"
    assert known[9009] == "hosting:medium:M247|vpn:low:M247"


def test_the_package_has_the_table_of_the_repository() -> None:
    assert hosting.known() == hosting.read(TABLE), "build the package again"


def test_the_packed_ranges_say_what_the_table_says() -> None:
    rows = [*packed.read(ROOT / "data/network-asn.ranges")]
    assert {row.value for row in rows} == {*hosting.read(TABLE).values()}, (
        "say 'make data ACCEPT=1'"
    )
    first, last = int(ip_address("88.198.0.0")), int(ip_address("88.198.255.255"))
    (holder,) = [row for row in rows if row.version == 4 and row.first <= first <= row.last]
    assert holder.last >= last
    assert holder.value == "hosting:medium:Hetzner"
    for row, following in pairwise(rows):  # nothing is left to be joined
        assert (row.version, row.last + 1, row.value) != (
            following.version,
            following.first,
            following.value,
        )


@pytest.mark.parametrize(
    "name",
    [
        "Comcast Cable Communications, LLC", "AT&T Enterprises, LLC", "Verizon Business",
        "Charter Communications Inc", "Cox Communications Inc.", "CenturyLink Communications, LLC",
        "Windstream Communications LLC", "Frontier Communications of America, Inc.",
        "T-Mobile USA, Inc.", "Space Exploration Technologies Corporation", "Google Fiber Inc.",
        "Bell Canada", "Rogers Communications Canada Inc.", "Shaw Communications", "TELUS Communications",
        "Deutsche Telekom AG", "Vodafone GmbH", "Telefonica Germany GmbH & Co.OHG", "1&1 Versatel GmbH",
        "M-net Telekommunikations GmbH", "Orange S.A.", "Free SAS", "Free Mobile SAS",
        "Societe Francaise Du Radiotelephone - SFR SA", "Bouygues Telecom SA",
        "British Telecommunications PLC", "Virgin Media Limited", "Sky UK Limited",
        "TalkTalk Communications Limited", "The Cloud Networks Limited", "M247 UK Ltd",
        "TELEFONICA DE ESPANA S.A.U.", "Telecom Italia S.p.A.", "WIND TRE S.P.A.", "Fastweb SpA",
        "KPN B.V.", "Vodafone Libertel B.V.", "Proximus NV", "Telenet BV", "Telia Company AB",
        "Tele2 Sverige AB", "Telenor Norge AS", "Bahnhof AB", "TDC Holding A/S", "Elisa Oyj",
        "Orange Polska Spolka Akcyjna", "FIBERHOST S.A.", "A1 Telekom Austria AG",
        "Swisscom (Schweiz) AG", "DIGI ROMANIA S.A.", "Ote SA (Hellenic Telecommunications)",
        "Turk Telekomunikasyon Anonim Sirketi", "Superonline Iletisim Hizmetleri A.S.",
        "PJSC Rostelecom", "MTS PJSC", "PJSC \"Vimpelcom\"", "Kyivstar PJSC", "PJSC Moscow city telephone network",
        "CONTENT DELIVERY NETWORK LTD", "Belarusian Cloud Technologies LLC", "Chinanet",
        "CHINA UNICOM China169 Backbone", "China Mobile", "Bharat Sanchar Nigam Ltd",
        "Reliance Jio Infocomm Limited", "Bharti Airtel Limited", "VNPT Corp", "Viettel Group",
        "PT. Telekomunikasi Selular", "BIZNET NETWORKS", "TM TECHNOLOGY SERVICES SDN BHD",
        "NTT Communications Corporation", "KDDI CORPORATION", "SoftBank Corp.", "Korea Telecom",
        "SK Broadband Co Ltd", "Chunghwa Telecom Co., Ltd.", "Hong Kong Broadband Network Limited",
        "HGC Global Communications Limited", "Telstra Limited", "SingTel Optus Pty Ltd",
        "Uninet S.A. de C.V.", "TELEFONICA BRASIL S.A", "Claro NXT Telecomunicacoes Ltda",
        "Colombia Movil", "COLOMBIA TELECOMUNICACIONES S.A. ESP", "Telecom Argentina S.A.",
        "MTN NIGERIA Communication limited", "Airtel Networks Limited", "Safaricom Limited",
        "AFRIHOST SP (PTY) LTD", "Web Africa Networks (Pty) Ltd", "Vodacom", "TE-AS", "Cloudwifi",
        "Cloud Telecom Ltda", "Racknet Cable", "University of Cologne", "St. Cloud State",
        "Ville de Saint-Cloud", "Hostelworld", "Observer Media Group", "Cologuard", "Grupo Hostelero",
        "Ghost Robotics", "Jisc Services Limited", "Oncloud Wireless", "Amazonia Net",
    ],
)  # fmt: skip
def test_the_name_of_an_access_provider_suggests_nothing(name: str) -> None:
    assert classify(name) is None


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Example Hosting Ltd.", Category.HOSTING),
        ("HOSTINGER INTERNATIONAL LIMITED", Category.HOSTING),
        ("Hostwinds LLC.", Category.HOSTING),
        ("RouterHosting LLC", Category.HOSTING),
        ("Greenhost BV", Category.HOSTING),
        ("GHOSTnet Hosting", Category.HOSTING),
        ("Servers.com, Inc.", Category.HOSTING),
        ("ServerMania Inc.", Category.HOSTING),
        ("UK Dedicated Servers Limited", Category.HOSTING),
        ("Alibaba (US) Technology Co., Ltd.", Category.HOSTING),
        ("Yandex.Cloud LLC", Category.HOSTING),
        ("Cloudie Limited", Category.HOSTING),
        ("BlueVPS OU", Category.HOSTING),
        ("DREAM VPS LTD", Category.HOSTING),
        ("Datacenter Luxembourg S.A.", Category.HOSTING),
        ("AIMS Data Centre Sdn. Bhd.", Category.HOSTING),
        ("Radore Veri Merkezi Hizmetleri A.S.", Category.HOSTING),
        ("Hostway IDC", Category.HOSTING),
        ("Priority Colo Inc", Category.HOSTING),
        ("colo4jax, LLC", Category.HOSTING),
        ("ColoCrossing", Category.HOSTING),
        ("Rackspace Hosting", Category.HOSTING),
        ("Microsoft Corporation", Category.HOSTING),
        ("Google LLC", Category.HOSTING),
        ("Amazon.com, Inc.", Category.HOSTING),
        ("OVH SAS", Category.HOSTING),
        ("HUAWEI INTERNATIONAL PTE. LTD.", Category.HOSTING),
        ("Cloudflare, Inc.", Category.CDN),
        ("Akamai International B.V.", Category.CDN),
        ("Example CDN", Category.CDN),
    ],
)
def test_the_name_of_a_hoster_suggests_it_at_low_confidence(name: str, category: Category) -> None:
    assert classify(name) == (category, Confidence.LOW)


def test_words_that_are_looked_for_at_once_are_found_as_each_by_itself() -> None:
    tables = (names._ACCESS, names._CDN, names._HOSTING, names._BRANDS)
    texts = [text for table in tables for text in (*table, "ghost", "a")]
    spread, found = random.Random(3), Counter[object]()
    for at in range(20_000):
        parts = [spread.choice(texts) for _ in range(spread.choice([1, 1, 2, 3]))]
        name = "".join(spread.choice(["", " ", "x"]) + part for part in parts) + spread.choice(
            "x y"
        )
        name = name.strip() if at % 2 else name
        said = f" {' '.join(name.split())} "
        for other in names._OTHER_WORDS:
            said = said.replace(other, " ")
        has = [any(text in said for text in table) for table in tables]
        wanted = None if has[0] else "cdn" if has[1] else "hosting" if has[2] or has[3] else None
        suggested = classify(name)
        assert (suggested[0] if suggested else None) == wanted, name
        found[wanted] += 1
    assert all(found[wanted] > 1_000 for wanted in (None, "cdn", "hosting")), found
