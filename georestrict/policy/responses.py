"""What a blocked client is shown: the forms that a policy names, with the owner's own words.

A form says which kind of response it is, with which status, links and texts. Everything that can
be wrong in it is an error when it is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from string import Formatter
from types import MappingProxyType
from typing import Any
from unicodedata import category
from urllib.parse import urlsplit

from georestrict import countries
from georestrict.errors import ConfigurationError
from georestrict.policy import checks
from georestrict.policy.words import settle


class ResponseType(StrEnum):
    """The kinds of response."""

    JSON = "json"  #: a JSON document, or a page for those who prefer one
    HTML = "html"  #: a page, or a JSON document for those who prefer one
    RFC7725 = "rfc7725"  #: the same as json, with status 451 and a link to who blocks
    REDIRECT = "redirect"  #: to a page elsewhere; those who want JSON get that
    APP = "app"  #: the app's own callable


#: What a message may be about: the codes of blocks, and a client that appears to be nowhere.
SUBJECTS = (
    "unsupported_country_region_territory",
    "unknown_country",
    "anonymous_network",
    "network_not_allowed",
    "account_location_restricted",
    "client_address_unresolved",
    "location_unavailable",
)
#: What a single text is about: the policy refused where the address is. The other subjects are
#: technical, or about where the account was before, and a text that says "not offered in your
#: country" would be wrong for them.
_REFUSALS = (SUBJECTS[0], SUBJECTS[2], SUBJECTS[3])

_COUNTRY = "{country}"
_LONGEST_TEXT = 2000
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_LINK_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # of RFC 3986; others are percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The owner's words in one language. What is left out is in English, and marked as such.

    ``message`` and ``why`` are a text for everything that the policy refuses, or a table with a
    text for each of ``SUBJECTS``. ``countries`` are names of countries in this language.

    Raises:
        ConfigurationError: naming the text and the fix.
    """

    title: str | None = None
    title_unavailable: str | None = None
    message: Mapping[str, str] = field(default_factory=dict, hash=False)
    why: Mapping[str, str] = field(default_factory=dict, hash=False)
    notice: str | None = None
    legal: str | None = None
    heading_why: str | None = None
    heading_code: str | None = None
    heading_request: str | None = None
    contact_us: str | None = None
    go_elsewhere: str | None = None
    who_blocks: str | None = None
    countries: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check every text; only messages may name the country."""
        for word in TEXT_KEYS:
            given = getattr(self, word)
            if word in ("message", "why"):
                settle(self, word, _by_subject(given, word))
            elif word == "countries":
                settle(self, word, _country_names(given))
            elif given is not None:
                _text(given, word)

    @property
    def names_country(self) -> bool:
        """Whether a text names the client's country."""
        return any(_COUNTRY in text for text in (*self.message.values(), *self.why.values()))


TEXT_KEYS = tuple(one.name for one in fields(Texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseForm:
    """What a blocked client receives.

    ``status`` is filled in by type. ``language`` is the one that clients get who prefer none of
    ``texts``. ``request_id`` None shows an id on pages and none in JSON.

    Raises:
        ConfigurationError: naming the key and the fix.
    """

    type: ResponseType
    status: int | None = None
    location: str | None = field(default=None, hash=False)
    blocked_by: str | None = field(default=None, hash=False)
    alternate: str | None = field(default=None, hash=False)
    contact: str | None = field(default=None, hash=False)
    show_country: bool = field(default=True, hash=False)
    request_id: bool | None = field(default=None, hash=False)
    language: str = field(default="en", hash=False)
    texts: Mapping[str, Texts] = field(default_factory=dict, hash=False)
    #: The languages that it can be had in, the usual one first.
    languages: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check every key, and that together they make sense."""
        settle(self, "type", ResponseType(checks.word(self.type, "type", tuple(ResponseType))))
        settle(self, "status", self._checked_status())
        self._check_links()
        if self.contact is not None:
            checks.contact(self.contact, "contact")
        checks.flag(self.show_country, "show_country")
        if self.request_id is not None:
            checks.flag(self.request_id, "request_id")
        settle(self, "language", _tag(self.language, "language"))
        settle(self, "texts", self._checked_texts())
        settle(self, "languages", tuple(dict.fromkeys((self.language, *self.texts))))

    def _checked_status(self) -> int | None:
        usual, allowed = _STATUSES[self.type]
        status = self.status
        if status is None:
            return usual
        if isinstance(status, bool) or status not in allowed:
            words = " or ".join(map(str, allowed))
            fix = f"write {words}" if allowed else "leave it out, the app's callable says it"
            checks.fail("status", f'is {status!r} for type "{self.type}": {fix}')
        return status

    def _check_links(self) -> None:
        if self.type is ResponseType.REDIRECT and self.location is None:
            checks.fail("location", "is missing; write the https:// URL to redirect to")
        if self.type is not ResponseType.REDIRECT and self.location is not None:
            checks.fail("location", f'is for type "redirect" only, this is "{self.type}"')
        if self.status == 451 and self.blocked_by is None:
            checks.fail(
                "blocked_by",
                "is missing; status 451 must name who implements the block, as an https:// link "
                "(RFC 7725 §4)",
            )
        if self.status != 451 and self.blocked_by is not None:
            checks.fail("blocked_by", "goes with status = 451; add that, or remove it")
        for word in ("location", "blocked_by", "alternate"):
            if getattr(self, word) is not None:
                _link(getattr(self, word), word)

    def _checked_texts(self) -> Mapping[str, Texts]:
        checks.table(self.texts, "texts")
        texts: dict[str, Texts] = {}
        for name, given in self.texts.items():
            key = f"texts.{name}"
            tag = _tag(name, "texts")
            if tag in texts:
                checks.fail(key, f"is the language {tag!r} again; keep one")
            texts[tag] = given if isinstance(given, Texts) else _texts(given, key)
            if texts[tag].names_country and not self.show_country:
                checks.fail(
                    key, "has {country} in a text, but show_country is false; remove one of them"
                )
        return MappingProxyType(texts)


FORM_KEYS = tuple(one.name for one in fields(ResponseForm) if one.init)

_STATUSES: dict[ResponseType, tuple[int | None, Sequence[int]]] = {
    ResponseType.JSON: (403, (403, 451)),
    ResponseType.HTML: (403, (403, 451)),
    ResponseType.RFC7725: (451, (451,)),
    ResponseType.REDIRECT: (303, (302, 303)),
    ResponseType.APP: (None, ()),
}


def checked_forms(tables: Any, key: str = "responses") -> Mapping[str, ResponseForm]:
    """Read the tables ``[responses.NAME]``.

    Texts may stand in the form itself; they are then in its ``language``.

    Raises:
        ConfigurationError: naming the key and the fix.
    """
    checks.table(tables, key)
    checks.not_empty(tables, key, '[responses.NAME] with a type, such as type = "html"')
    return MappingProxyType(
        {
            name: form
            if isinstance(form, ResponseForm)
            else _form(checks.name(name, key), form, f"{key}.{name}")
            for name, form in tables.items()
        }
    )


def _form(name: str, table: Any, key: str) -> ResponseForm:
    checks.table(table, key, (*FORM_KEYS, *TEXT_KEYS))
    given = {word: value for word, value in table.items() if word in FORM_KEYS}
    own = {word: value for word, value in table.items() if word in TEXT_KEYS}
    if "type" not in given:
        if name not in tuple(ResponseType):
            checks.fail(f"{key}.type", f"is missing; write one of {', '.join(ResponseType)}")
        given["type"] = name
    for word, value in table.items():
        if isinstance(value, Mapping):
            checks.not_empty(value, f"{key}.{word}", "at least one entry")
    try:
        if own:
            language = _tag(given.get("language", "en"), "language")
            texts = given.get("texts", {})
            checks.table(texts, "texts")
            if language in (_tag(tag, "texts") for tag in texts):
                checks.fail(
                    f"texts.{language}",
                    f"{', '.join(own)} of the form itself are in that language, too; "
                    "write all of them in one place",
                )
            given["texts"] = {language: _texts(own, ""), **texts}
        return ResponseForm(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.{error}") from None


def _texts(table: Any, key: str) -> Texts:
    checks.table(table, key, TEXT_KEYS)
    if key:
        checks.not_empty(table, key, 'at least one text, such as title = "…"')
    try:
        return Texts(**table)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}.{error}" if key else str(error)) from None


def _text(value: Any, key: str, *, may_name_country: bool = False) -> str:
    """Return a text that is shown as it is; only ``{country}`` may stand for something."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TEXT:
        checks.fail(key, f"is {value!r}, must be a text of 1 to {_LONGEST_TEXT} characters")
    wrong = next(
        (one for one in value if category(one) in ("Cc", "Cs") and one not in "\n\t"), None
    )
    if wrong is not None:
        checks.fail(key, f"{value!r} has the character {wrong!r}, which cannot be shown; remove it")
    try:
        names = [
            (name, shape, conversion)
            for _, name, shape, conversion in Formatter().parse(value)
            if name is not None
        ]
    except ValueError as error:
        checks.fail(key, f"{value!r}: {error}; write {{{{ and }}}} for braces")
    allowed = {("country", "", None)} if may_name_country else set()
    if not set(names) <= allowed:
        known = "known is {country}" if may_name_country else "it stands for itself here"
        checks.fail(key, f"{value!r} has an unknown placeholder: {known}; write {{{{ for a brace")
    return value


def _by_subject(given: Any, key: str) -> Mapping[str, str]:
    """Return a text for each subject."""
    if isinstance(given, str):
        text = _text(given, key, may_name_country=True)
        return MappingProxyType(dict.fromkeys(_REFUSALS, text))
    checks.table(given, key, SUBJECTS)
    return MappingProxyType(
        {
            subject: _text(text, f"{key}.{subject}", may_name_country=subject in _REFUSALS)
            for subject, text in given.items()
        }
    )


def _country_names(given: Any) -> Mapping[str, str]:
    checks.table(given, "countries")
    names = {}
    for code, name in given.items():
        checked = countries.normalise(str(code))
        if checked is None:
            checks.fail("countries", f"{code!r} is no country: {countries.suggestion(str(code))}")
        names[checked] = _text(name, f"countries.{code}")
    return MappingProxyType(names)


def _link(value: Any, key: str) -> str:
    """Return an absolute https URL that can stand in a header."""
    if (
        not isinstance(value, str)
        or not value.startswith("https://")
        or not _LINK_CHARACTERS.fullmatch(value)
        or not _has_host(value)
    ):
        checks.fail(
            key,
            f"{value!r}: write an absolute URL that begins with https:// and a host, with "
            "everything else than ASCII percent-encoded",
        )
    return value


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        return False


def _tag(value: Any, key: str) -> str:
    """Return a language tag in its usual spelling (RFC 5646 §2.1.1)."""
    if not isinstance(value, str) or not _LANGUAGE_TAG.fullmatch(value):
        checks.fail(key, f"{value!r} is no language tag; write one such as de, pt-BR or zh-Hant")
    first, *rest = value.split("-")
    spelling = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(spelling.get(len(one), str.lower)(one) for one in rest)])


#: The forms that need no table.
BUILT_IN: Mapping[str, ResponseForm] = MappingProxyType(
    {str(kind): ResponseForm(type=kind) for kind in (ResponseType.JSON, ResponseType.HTML)}
)
