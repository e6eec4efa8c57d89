"""What the name of an AS's organisation suggests: the weakest evidence there is.

A name is compared in lower case, with one space for all that is no letter or digit, and one at
either end: ``" host"`` is where a word begins, ``"host "`` where it ends.
"""

from __future__ import annotations

import re

from georestrict.networks.category import Category, Confidence

_BETWEEN_WORDS = re.compile(r"[\W_]+")

# Taken out first. The town of St. Cloud has a university.
_OTHER_WORDS = (
    " ghost ",
    " hostel",
    " hostess",
    " hostil",
    " observer",
    " saint cloud ",
    " st cloud ",
)
# Who gives people access says so, and is never taken for a hoster; nor are those access providers
# whose names mislead: Fiberhost lays fibre, The Cloud Networks runs hotspots.
_ACCESS = (
    "telecom", "telekom", "telefon", "telephon", "telco", "televis", "mobile", "cellular",
    "wireless", "wifi", " wi fi ", " wisp ", " isp ", "broadband", "breitband", "bredband",
    "banda larga", "cable", "kabel", "dsl ", "satellit", "fiber", "fibre", "fibra", "glasfaser",
    "provedor", "chinanet", "unicom", "internet service", "internet access", "universi",
    "school", "college", "hospital", " afrihost ", " the cloud networks ", " belarusian cloud ",
    " m247 uk ",
)  # fmt: skip
_CDN = (
    " cdn", "cdn ", " akamai ", " bunnyway ", " cachefly ", " cloudflare ", " edgecast ",
    " edgio ", " fastly ", " imperva ", " incapsula ", " limelight ", " sucuri ",
)  # fmt: skip
# What those who rent machines call themselves.
_HOSTING = (
    " host", "host ", "hosts ", "hosting", "hoster ", " server", "server ", "servers ", "cloud",
    "vps ", "vds ", " virtual machine", " virtual server", " virtual private ", " bare metal ",
    " dedicated ", "data center", "data centre", "datacent", " veri merkezi ", " idc ", " colo ",
    " colo4", " colocation", " colocrossing ", " rack ", " racks ", " rackspace ",
)  # fmt: skip
# Hosters whose names have no such word.
_BRANDS = (
    " aeza ", " akenes ", " alibaba ", " aliyun ", " amazon com ", " amazon data ",
    " amazon technologies ", " aruba s p a ", " aws ", " baidu ", " beget ", " binero ",
    " byteplus ", " choopa ", " clouvider ", " combell ", " constant company ", " contabo ",
    " coreweave ", " datacamp ", " digitalocean ", " eonix ", " fdcservers ", " frantech ",
    " g core ", " gandi ", " glesys ", " gmo ", " godaddy ", " google ", " hetzner ",
    " hivelocity ", " huawei international ", " i3d net ", " ibm ", " ikoula ", " infomaniak ",
    " interserver ", " ionos ", " it7 networks ", " kamatera ", " kingsoft ", " latitude sh ",
    " leaseweb ", " limestone networks ", " linode ", " liquid web ", " locaweb ", " loopia ",
    " m247 ", " microsoft ", " multacom ", " namecheap ", " naver ", " nebius ", " netcup ",
    " new dream network ", " newfold ", " nforce ", " nhn ", " nocix ", " oracle ", " ovh ",
    " packethub ", " peg tech ", " plusserver ", " psychz ", " quadranet ", " sakura internet ",
    " scaleway ", " selectel ", " serverius ", " sharktech ", " softlayer ", " strato ag ",
    " tencent ", " timeweb ", " transip ", " unified layer ", " upcloud ", " velia net ",
    " volcano engine ", " vultr ", " wholesale internet ", " worldstream ", " xneelo ", " xtom ",
    " zenlayer ",
)  # fmt: skip


def classify(name: str) -> tuple[Category, Confidence] | None:
    """Return what an organisation's name suggests that its network is for, or None.

    Always at low confidence. A name that says that people are given access suggests nothing.

    >>> from georestrict.networks import classify
    >>> classify("Deutsche Telekom AG")
    >>> classify("Example Hosting Ltd.")
    (<Category.HOSTING: 'hosting'>, <Confidence.LOW: 'low'>)
    """
    said = f" {_BETWEEN_WORDS.sub(' ', name.casefold()).strip()} "
    for other in _OTHER_WORDS:
        said = said.replace(other, " ")
    words = frozenset(said.split())
    if _ACCESS_TEXTS.any_in(said, words):
        return None
    if _CDN_TEXTS.any_in(said, words):
        return Category.CDN, Confidence.LOW
    if _HOSTING_TEXTS.any_in(said, words):
        return Category.HOSTING, Confidence.LOW
    return None


class _Texts:
    """Texts to look for. Most are whole words, and all of these are looked for at once."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._words = frozenset(text.strip() for text in texts if _is_word(text))
        self._others = tuple(text for text in texts if not _is_word(text))

    def any_in(self, said: str, words: frozenset[str]) -> bool:
        """Return whether any is in a name, of which the words are these."""
        if not self._words.isdisjoint(words):
            return True
        for text in self._others:  # not any(): a database has 100,000 names  # noqa: SIM110
            if text in said:
                return True
        return False


def _is_word(text: str) -> bool:
    return text.startswith(" ") and text.endswith(" ") and " " not in text.strip()


_ACCESS_TEXTS, _CDN_TEXTS = _Texts(_ACCESS), _Texts(_CDN)
_HOSTING_TEXTS = _Texts(_HOSTING + _BRANDS)
