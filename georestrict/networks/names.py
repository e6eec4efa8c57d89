"""What the name of an AS's organisation suggests: the weakest evidence there is."""

from __future__ import annotations

import re

from georestrict.networks.category import Category, Confidence

# What those who rent machines call themselves.
_HOSTING = re.compile(
    r"""
    \b(?!ghosts?\b)\w*host(ing|ings|er|ers|s)?\b
    | \bhost(?!el|ess|il|ag)\w+              # Hostinger, but no hostels
    | \b(?!observ|conserv)\w*servers?\b | \bserver\w+
    | (?<!saint[ -])(?<!st[ -])(?<!st\.[ ])\b\w*cloud\w*   # the town has a university
    | \b\w*(vps|vds)\b | \bvirtual\ (machine|server|private|dedicated)
    | \bdata\ ?-?cent(er|re|rum)s?\b | \bidc\b | \bveri\ merkezi\b
    | \bcolo\b | \bcolo(cation|crossing|center|house|up|\d)
    | \bdedicated\b | \bdedi(box|path)\b | \bbare\ ?metal\b
    | \brack(s|space|host|forest|dog|nation)?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Who gives people access says that as well, and is never taken for a hoster; nor are those access
# providers whose names mislead: Fiberhost lays fibre, The Cloud Networks runs hotspots.
_ACCESS = re.compile(
    r"""
    tele(com|kom|fon|phon|vis) | telco | mobile | cellular | wireless | wi-?fi | \bw?isps?\b
    | broadband | breitband | bredband | banda\ larga | cable | kabel | dsl\b | satellit
    | fib(er|re|ra) | glasfaser | provedor | internet\ (service|access) | chinanet | unicom
    | universi | school | college | hospital
    | afrihost | the\ cloud\ networks | belarusian\ cloud | m247\ uk | google\ fiber
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Hosters whose names have no such word.
_BRANDS = (
    "aeza|akenes|alibaba|aliyun|amazon data|amazon technologies|amazon\\.com|aruba s\\.?p\\.?a|aws|"
    "baidu|beget|binero|byteplus|choopa|clouvider|combell|constant company|contabo|coreweave|"
    "datacamp|digital ?ocean|eonix|fdcservers|frantech|g-core|gandi|glesys|gmo|go ?daddy|google|"
    "hetzner|hivelocity|i3d\\.net|ibm|ikoula|infomaniak|interserver|ionos|it7 networks|kamatera|"
    "kingsoft|latitude\\.sh|leaseweb|limestone networks|linode|liquid web|locaweb|loopia|m247|"
    "microsoft|multacom|namecheap|naver|nebius|netcup|new dream network|newfold|nforce|nhn|nocix|"
    "one\\.com|oracle|ovh|packethub|peg tech|plusserver|psychz|quadranet|sakura internet|scaleway|"
    "selectel|serverius|sharktech|softlayer|strato ag|tencent|timeweb|transip|unified layer|"
    "upcloud|velia\\.net|volcano engine|vultr|wholesale internet|worldstream|xneelo|xtom|zenlayer"
)
_BRAND = re.compile(rf"\b({_BRANDS})\b|\bhuawei (cloud|international)\b", re.IGNORECASE)
_CDN = re.compile(
    r"""
    \b\w*cdn\b | \bcdn\w*
    | \b(akamai|bunnyway|cachefly|cloudflare|edgecast|edgio|fastly|imperva|incapsula|limelight)\b
    | \bsucuri\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def classify(name: str) -> tuple[Category, Confidence] | None:
    """Return what an organisation's name suggests that its network is for, or None.

    Always at low confidence. A name that says that people are given access suggests nothing.

    >>> from georestrict.networks import classify
    >>> classify("Deutsche Telekom AG")
    >>> classify("Example Hosting Ltd.")
    (<Category.HOSTING: 'hosting'>, <Confidence.LOW: 'low'>)
    """
    if _ACCESS.search(name):
        return None
    if _CDN.search(name):
        return Category.CDN, Confidence.LOW
    if _BRAND.search(name) or _HOSTING.search(name):
        return Category.HOSTING, Confidence.LOW
    return None
