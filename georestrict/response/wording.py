"""The words of a refusal: the owner's in the client's language, else the shipped English ones."""

from __future__ import annotations

import html
from typing import NamedTuple

from georestrict import countries
from georestrict.decision import Code
from georestrict.policy.responses import ResponseForm, Texts

_ENGLISH = "en"
_COUNTRY = "{country}"

_SHIPPED = Texts(
    title="Not available from your location",
    title_unavailable="Not available at the moment",
    message={
        Code.COUNTRY: (
            "Country, region, or territory not supported: your address appears to be in {country}."
        ),
        "unknown_country": (
            "Country, region, or territory not supported: "
            "your address does not appear to be in any country."
        ),
        Code.ANONYMOUS: "Your address appears to be of an anonymising network, not allowed here.",
        Code.NETWORK: "The network that your address belongs to is not allowed here.",
        Code.ACCOUNT: (
            "This account appears to have been used lately from a place, or a number of places, "
            "that is not supported here."
        ),
        Code.UNRESOLVED: "Your address could not be determined, so this request cannot be served.",
        Code.NO_LOCATION: "Your location cannot be determined at the moment; try again later.",
    },
    why={
        Code.COUNTRY: (
            "This service is offered in some countries, regions and territories only. "
            "Where you are is estimated from your network address. The estimate can be wrong."
        ),
        "unknown_country": (
            "This service is offered in some countries, regions and territories only. "
            "Where you are is estimated from your network address, "
            "and for yours there is no estimate."
        ),
        Code.ANONYMOUS: (
            "This service is not offered over networks that hide where their users are, "
            "such as VPNs and Tor. Whether an address belongs to one is an estimate, "
            "which can be wrong."
        ),
        Code.NETWORK: "This service does not accept requests from every network.",
        Code.ACCOUNT: (
            "Where an account is used is estimated from the network addresses of its requests. "
            "The estimate can be wrong, and there can be a good reason, such as a journey. "
            "Nothing has been changed about the account."
        ),
        Code.UNRESOLVED: "Something between you and this service does not pass your address on.",
        Code.NO_LOCATION: (
            "This service is not offered everywhere, "
            "and at the moment it cannot tell where requests come from."
        ),
    },
    legal="Access is denied as a consequence of a legal demand.",
    heading_why="Why",
    heading_code="Code",
    heading_request="Request",
    contact_us="If this seems wrong, contact us",
    go_elsewhere="Go here instead",
    who_blocks="Who implements this block",
)

# Where no country may be shown, or the owner's message lacks one.
_HIDDEN = "Country, region, or territory not supported."

# Languages and scripts that are written from right to left (Unicode CLDR, characterOrder).
_RTL_LANGUAGES = (
    "ar", "arc", "azb", "bal", "ckb", "dv", "fa", "glk", "he", "iw", "ks", "lrc",
    "mzn", "nqo", "pnb", "ps", "rhg", "sd", "sdh", "syr", "ug", "ur", "yi",
)  # fmt: skip
_RTL_SCRIPTS = ("adlm", "arab", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa")


class Words(NamedTuple):
    """A text, and the language it is in, which may be another one than was asked for."""

    text: str
    language: str

    def filled(self, country: str) -> str:
        """Return it as plain text."""
        return self.text.format(country=country)

    def marked_up(self, country: str = "") -> str:
        """Return it as HTML; where that matters, the country's direction is its own."""
        shown = html.escape(country)
        if direction(self.language) == "rtl":
            shown = f"<bdi>{shown}</bdi>"
        return html.escape(self.text).format(country=shown)


class Wording:
    """What a form says in a language, about one code and country."""

    def __init__(self, form: ResponseForm, language: str, code: Code, country: str | None) -> None:
        self.language = language
        self._texts = form.texts.get(language, Texts())
        self._code, self._hidden = code, not form.show_country
        self._known = country is not None
        self.country = f"{self._name(country)} ({country})" if country is not None else ""

    def word(self, name: str) -> Words:
        """Return a text that has one form only, such as ``title``."""
        own: str | None = getattr(self._texts, name)
        return self._own(own) if own is not None else _shipped(getattr(_SHIPPED, name))

    @property
    def notice(self) -> Words | None:
        """The owner's notice, which has no shipped form."""
        return None if self._texts.notice is None else self._own(self._texts.notice)

    def about(self, kind: str) -> Words:
        """Return the ``message`` or the ``why`` of what happened."""
        own, shipped = getattr(self._texts, kind), getattr(_SHIPPED, kind)
        subjects = [str(self._code)]
        if self._code is Code.COUNTRY and not self._known and not self._hidden:
            subjects.insert(0, "unknown_country")
        for subject in subjects:
            if subject in own and (self._known or _COUNTRY not in own[subject]):
                return self._own(own[subject])
        if self._hidden and _COUNTRY in shipped[subjects[0]]:
            return _shipped(_HIDDEN)
        return _shipped(shipped[subjects[0]])

    def _name(self, country: str) -> str:
        own: str | None = self._texts.countries.get(country)
        return own.format() if own else countries.NAMES.get(country, country)

    def _own(self, text: str) -> Words:
        return Words(text, self.language)


def direction(language: str) -> str:
    """Return in which direction a language is written: ``ltr`` or ``rtl``."""
    first, *rest = language.lower().split("-")
    script = next((one for one in rest if len(one) == 4 and one.isalpha()), None)
    rtl = first in _RTL_LANGUAGES if script is None else script in _RTL_SCRIPTS
    return "rtl" if rtl else "ltr"


def is_english(language: str) -> bool:
    """Whether the shipped words are in this language."""
    return language.partition("-")[0] == _ENGLISH


def _shipped(text: str) -> Words:
    return Words(text, _ENGLISH)
