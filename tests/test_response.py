"""The forms of a refusal: what an owner may write, and what a client then receives."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest

from georestrict import Code, ConfigurationError, Decision, Policy, Reason
from georestrict.policy import Action
from georestrict.policy.responses import (
    BUILT_IN,
    FORM_KEYS,
    SUBJECTS,
    TEXT_KEYS,
    ResponseForm,
    ResponseType,
    Texts,
    checked_forms,
)
from georestrict.response import (
    Caller,
    Response,
    blocked,
    checked_origins,
    completed,
    form_of,
    is_preflight,
    kept_from_shared_caches,
    warned,
    warning,
    warnings,
)
from georestrict.response.negotiation import HTML, JSON, PROBLEM, language, media_type
from georestrict.response.page import CONTENT_SECURITY_POLICY
from georestrict.response.wording import _SHIPPED, direction

pytestmark = pytest.mark.once

RULES = [{"name": "no-cn", "action": "block", "countries": ["CN"]}]
WHY = "https://example.com/why"
PAGE = Caller(accept="text/html")
GERMAN = {
    "title": "Von Ihrem Standort nicht erreichbar",
    "message": "Ihre Adresse scheint in {country} zu liegen.",
    "countries": {"CN": "China, Volksrepublik"},
}


def policy_of(form: dict[str, Any] | None = None, **more: Any) -> Policy:
    """A policy that has everybody told in one form."""
    document: dict[str, Any] = {"default": "allow", "rules": RULES, **more}
    if form is not None:
        document |= {"response": "it", "responses": {"it": form}}
    return Policy.from_mapping(document)


def decided(code: Code = Code.COUNTRY, country: str | None = "CN", **more: Any) -> Decision:
    """A block, as the engine would decide it."""
    action = more.pop("action", Action.BLOCK)
    return Decision(action=action, reason=Reason.COUNTRY, country=country, code=code, **more)


def told(
    form: dict[str, Any] | None = None,
    caller: Caller = Caller(),  # noqa: B008 a value
    decision: Decision | None = None,
    **more: Any,
) -> Response:
    """What a client receives in a form."""
    return blocked(decided() if decision is None else decision, policy_of(form, **more), caller)


def header(response: Response, name: str) -> str | None:
    """The one header of that name."""
    values = [value for key, value in response.headers if key == name]
    assert len(values) < 2, values
    return values[0] if values else None


def document(response: Response) -> Any:
    """The JSON document in a response."""
    return json.loads(response.body)


# What an owner may write

WRONG: dict[str, tuple[Any, str]] = {
    "no table": ("json", "responses: is 'json', must be a table"),
    "nothing": ({}, "responses: is empty"),
    "a form that is no table": ({"it": "json"}, "responses.it: is 'json', must be a table"),
    "a name on two lines": ({"a\nb": {"type": "json"}}, "responses: is 'a\\nb', give it a name"),
    "no type": ({"it": {"status": 403}}, "responses.it.type: is missing; write one of json, html"),
    "an unknown type": ({"it": {"type": "htlm"}}, "responses.it.type: is 'htlm': did you mean 'html'?"),
    "an unknown key": ({"json": {"stauts": 403}}, "responses.json: unknown key 'stauts': did you mean 'status'?"),
    "an odd status": ({"json": {"status": 404}}, "responses.json.status: is 404 for type \"json\": write 403 or 451"),
    "a status that is true": ({"json": {"status": True}}, "responses.json.status: is True"),
    "another status of rfc7725": (
        {"rfc7725": {"status": 403, "blocked_by": WHY}},
        'status: is 403 for type "rfc7725": write 451',
    ),
    "a permanent redirect": (
        {"redirect": {"status": 301, "location": WHY}},
        'status: is 301 for type "redirect": write 302 or 303',
    ),
    "a status of the app": ({"app": {"status": 403}}, "leave it out, the app's callable says it"),
    "F2 451 without who blocks": (
        {"json": {"status": 451}},
        "responses.json.blocked_by: is missing; status 451 must name who implements the block",
    ),
    "F2 rfc7725 without who blocks": ({"rfc7725": {}}, "responses.rfc7725.blocked_by: is missing"),
    "who blocks without 451": ({"json": {"blocked_by": WHY}}, "goes with status = 451"),
    "a redirect to nowhere": ({"redirect": {}}, "responses.redirect.location: is missing"),
    "a location of JSON": ({"json": {"location": WHY}}, 'is for type "redirect" only, this is "json"'),
    "a contact that is no link": ({"json": {"contact": "me"}}, "responses.json.contact: 'me': write a link"),
    "a flag that is text": ({"json": {"show_country": "no"}}, "responses.json.show_country: is 'no', must be true or false"),
    "an id that is text": ({"json": {"request_id": "no"}}, "responses.json.request_id: is 'no', must be true"),
    "an unknown placeholder": ({"json": {"message": "in {city}"}}, "responses.json.message: 'in {city}' has an unknown placeholder: known is {country}"),
    "a placeholder of another shape": ({"json": {"message": "{country!r}"}}, "has an unknown placeholder"),
    "a placeholder in a title": ({"json": {"title": "{country}"}}, "responses.json.title: '{country}' has an unknown placeholder"),
    "an open brace": ({"json": {"notice": "a { b"}}, "responses.json.notice: 'a { b': "),
    "an empty text": ({"json": {"title": " "}}, "responses.json.title: is ' ', must be a text"),
    "a text that is long": ({"json": {"title": "x" * 2001}}, "must be a text of 1 to 2000 characters"),
    "a text that is a number": ({"json": {"title": 5}}, "responses.json.title: is 5, must be a text"),
    "a message about nothing": (
        {"json": {"message": {"country": "x"}}},
        "responses.json.message: unknown key 'country'",
    ),
    "a message that is empty": ({"json": {"message": {}}}, "responses.json.message: is empty"),
    "a country where there is none": (
        {"json": {"message": {"unknown_country": "in {country}"}}},
        "responses.json.message.unknown_country: 'in {country}' has an unknown placeholder",
    ),
    "no language": ({"json": {"language": "German!"}}, "responses.json.language: 'German!' is no language tag"),
    "texts that are no table": ({"json": {"texts": ["de"]}}, "responses.json.texts: is ['de'], must be a table"),
    "texts beside a title that are no table": ({"json": {"title": "x", "texts": 1}}, "responses.json.texts: is 1, must be a table"),
    "texts in no language": ({"json": {"texts": {"?": {"title": "x"}}}}, "responses.json.texts: '?' is no language tag"),
    "texts without one": ({"json": {"texts": {"de": {}}}}, "responses.json.texts.de: is empty"),
    "texts of a word": ({"json": {"texts": {"de": {"titel": "x"}}}}, "responses.json.texts.de: unknown key 'titel': did you mean 'title'?"),
    "a text of a language": ({"json": {"texts": {"de": {"title": ""}}}}, "responses.json.texts.de.title: is ''"),
    "a language twice": (
        {"json": {"texts": {"pt-br": {"title": "x"}, "pt-BR": {"title": "y"}}}},
        "responses.json.texts.pt-BR: is the language 'pt-BR' again",
    ),
    "a language in two places": (
        {"json": {"title": "x", "texts": {"en": {"title": "y"}}}},
        "responses.json.texts.en: title of the form itself are in that language, too",
    ),
    "the country, shown and hidden": (
        {"json": {"show_country": False, "message": "in {country}"}},
        "responses.json.texts.en: has {country} in a text, but show_country is false",
    ),
    "a country that is none": ({"json": {"countries": {"UK": "x"}}}, "responses.json.countries: 'UK' is no country: did you mean GB?"),
    "a country without a name": ({"json": {"countries": {"gb": ""}}}, "responses.json.countries.gb: is ''"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_an_error_with_its_place_and_the_fix(tables: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        checked_forms(tables, "responses")


@pytest.mark.parametrize(
    "link",
    ["http://example.com/", "//example.com", "https:///x", "https://", "/x", "https://ex ample.com",
     'https://example.com/"', "https://example.com/<x>", "https://example.com/\u00fc",
     "https://example.com\n/x", "https://user@example.com/", "https://[::1", "https://a:99999/", 5],
)  # fmt: skip
@pytest.mark.parametrize("key", ["location", "blocked_by", "alternate"])
def test_f6_a_link_is_an_absolute_https_url_that_can_stand_in_a_header(key: str, link: Any) -> None:
    form = {"location": {"type": "redirect"}, "blocked_by": {"type": "rfc7725"}}.get(
        key, {"type": "json"}
    )
    with pytest.raises(ConfigurationError, match=rf"responses.it.{key}: .*https://"):
        checked_forms({"it": {**form, key: link}})


def test_an_error_of_a_policy_names_the_file_and_the_form(tmp_path: Any) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('default = "allow"\n[responses.page]\ntype = "rfc7725"\n')
    with pytest.raises(
        ConfigurationError, match=r"policy.toml:2: responses.page.blocked_by: is mis"
    ):
        Policy.load(path)


def test_a_name_that_is_a_type_needs_no_type_and_a_status_is_filled_in() -> None:
    forms = checked_forms(
        {
            "json": {},
            "html": {},
            "rfc7725": {"blocked_by": WHY},
            "redirect": {"location": WHY},
            "app": {},
        }
    )
    assert [(name, form.type, form.status) for name, form in forms.items()] == [
        ("json", ResponseType.JSON, 403),
        ("html", ResponseType.HTML, 403),
        ("rfc7725", ResponseType.RFC7725, 451),
        ("redirect", ResponseType.REDIRECT, 303),
        ("app", ResponseType.APP, None),
    ]
    assert forms["json"] == BUILT_IN["json"]


def test_toml_a_mapping_and_python_values_give_the_same_form() -> None:
    written = checked_forms({"it": {"type": "html", "title": "Hallo", "language": "DE-de"}})["it"]
    assert written == ResponseForm(
        type="html",  # type: ignore[arg-type]
        language="de-DE",
        texts={"de-DE": {"title": "Hallo"}},  # type: ignore[dict-item]
    )
    assert written == ResponseForm(
        type=ResponseType.HTML, language="de-DE", texts={"de-DE": Texts(title="Hallo")}
    )
    assert checked_forms({"it": written})["it"] is written
    assert hash(written) == hash(ResponseForm(type=ResponseType.HTML))
    assert written.languages == ("de-DE",)


def test_no_word_of_a_form_is_a_word_of_its_texts() -> None:
    assert not {*FORM_KEYS} & {*TEXT_KEYS}


def test_there_is_a_shipped_text_for_every_code_and_every_word() -> None:
    assert (
        {*SUBJECTS}
        == {*map(str, Code), "unknown_country"}
        == {*_SHIPPED.message}
        == {*_SHIPPED.why}
    )
    assert [key for key in TEXT_KEYS if not getattr(_SHIPPED, key)] == ["notice", "countries"]


# Which form


def test_the_rules_form_comes_before_the_policys_and_that_before_json() -> None:
    forms = {"page": {"type": "html"}, "why": {"type": "rfc7725", "blocked_by": WHY}}
    policy = policy_of(responses=forms, response="page")
    assert form_of(decided(response="why"), policy) is policy.responses["why"]
    assert form_of(decided(), policy) is policy.responses["page"]
    assert form_of(decided(), policy_of()) is BUILT_IN["json"]
    assert form_of(decided(response="html"), policy_of()) is BUILT_IN["html"]
    own = policy_of(responses={"json": {"alternate": WHY}})
    assert form_of(decided(), own).alternate == WHY


# Which representation


@pytest.mark.parametrize(
    ("accept", "by_json", "by_html"),
    [
        ("", JSON, HTML),
        ("*/*", JSON, HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML, HTML),
        ("application/json", JSON, JSON),
        ("application/problem+json", PROBLEM, PROBLEM),
        ("application/json, text/plain, */*", JSON, HTML),
        ("application/*", JSON, JSON),
        ("text/*", HTML, HTML),
        ("text/*;q=0.5, text/html;q=0.1, */*;q=0.2", JSON, JSON),
        ("image/png", JSON, HTML),
        ("text/html;q=0", JSON, JSON),
        ("application/json;q=0", JSON, HTML),
        ("application/json;q=0, */*;q=0.1", PROBLEM, HTML),
        ("TEXT/HTML ; Q=0.7, application/json;q=0.6", HTML, HTML),
        ("text/html;level=1;q=nan, application/json;q=1e9", JSON, JSON),
        ("x" * 1025 + ",text/html", JSON, HTML),
    ],
)  # fmt: skip
def test_f3_the_most_specific_range_with_the_greatest_weight_counts(
    accept: str, by_json: str, by_html: str
) -> None:
    assert media_type(accept, JSON) == by_json
    assert media_type(accept, HTML) == by_html


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, fr;q=0.9", "de"),
        ("fr, de;q=0.5", "de"),
        ("fr;q=0.5, de;q=0.4, zh-hant-tw;q=0.9", "zh-Hant"),
        ("zh-TW", "en"),
        ("zh-hant-x-y", "zh-Hant"),
        ("de-1-x-y", "de"),
        ("*", "en"),
        ("fr, *;q=0.5", "en"),
        ("en;q=0, *", "de"),
        ("en;q=0, de;q=0, zh-hant;q=0, *", "en"),
        ("de;q=0, de-AT", "en"),
        ("de;q=0", "en"),
        ("DE;Q=1", "de"),
        (";,-,--x;q=q", "en"),
    ],
)
def test_the_language_is_looked_up_as_rfc_4647_says(asked: str, gets: str) -> None:
    assert language(asked, ("en", "de", "zh-Hant")) == gets
    assert language(asked, ("de",)) == "de"


# What is in it


def test_f1_every_form_is_kept_by_nobody_and_has_its_length() -> None:
    forms: list[dict[str, Any]] = [
        {"type": "json"},
        {"type": "html"},
        {"type": "json", "request_id": True},
        {"type": "rfc7725", "blocked_by": WHY},
        {"type": "redirect", "location": WHY},
        {"type": "app"},
    ]
    callers = [
        Caller(),
        PAGE,
        Caller(method="HEAD"),
        Caller(method="POST", content_type="application/grpc"),
        Caller(origin="https://app.example.com"),
    ]
    for form in forms:
        for caller in callers:
            for code in Code:
                response = blocked(
                    decided(code), policy_of(form), caller, frozenset({"https://app.example.com"})
                )
                assert header(response, "cache-control") == "no-store"
                assert header(response, "x-content-type-options") == "nosniff"
                assert header(response, "content-length") == str(len(response.body))
                assert not {"etag", "set-cookie", "last-modified"} & dict(response.headers).keys()
                if code is Code.NO_LOCATION and response.status != 200:
                    assert (response.status, header(response, "retry-after")) == (503, "300")
                else:
                    assert header(response, "retry-after") is None


@pytest.mark.parametrize("form", [{"type": "rfc7725"}, {"type": "html", "status": 451}])
def test_f2_451_names_who_blocks_and_explains(form: dict[str, Any]) -> None:
    form = {**form, "blocked_by": WHY}
    response = told(form, Caller(accept="application/json"))
    assert (response.status, header(response, "link")) == (451, f'<{WHY}>; rel="blocked-by"')
    assert document(response)["title"] == "Unavailable For Legal Reasons"
    assert document(response)["status"] == 451
    assert document(response)["blocked_by"] == WHY
    assert "appears to be in China (CN)" in document(response)["detail"]
    assert "consequence of a legal demand" in document(response)["detail"]
    page = told(form, PAGE)
    assert page.status == 451
    assert b"consequence of a legal demand" in page.body
    assert f'<a href="{WHY}" rel="blocked-by">'.encode() in page.body


def test_f2_where_something_went_wrong_no_legal_demand_is_to_blame() -> None:
    form = {"type": "rfc7725", "blocked_by": WHY}
    for code, status in ((Code.UNRESOLVED, 403), (Code.NO_LOCATION, 503)):
        response = told(form, decision=decided(code, None))
        assert (response.status, header(response, "link")) == (status, None)
        assert "legal" not in document(response)["detail"]


def test_a_private_address_is_that_of_something_in_between() -> None:
    form = {"type": "rfc7725", "blocked_by": WHY}
    private = Decision(action=Action.BLOCK, reason=Reason.PRIVATE, code=Code.NETWORK)
    for response in (told(form, decision=private), told(GO, decision=private)):
        assert (response.status, header(response, "location")) == (403, None)
        assert b"legal" not in response.body
    listed = Decision(action=Action.BLOCK, reason=Reason.NETWORK, code=Code.NETWORK)
    assert [told(form, decision=listed).status, told(GO, decision=listed).status] == [451, 303]


def test_f3_one_document_is_a_problem_and_an_error_object() -> None:
    response = told({"type": "json", "alternate": "https://example.com/elsewhere", "notice": "Moved."},
                    contact="https://example.com/contact")  # fmt: skip
    message = (
        "Country, region, or territory not supported: your address appears to be in China (CN)."
    )
    assert document(response) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": message,
        "error": {
            "code": "unsupported_country_region_territory",
            "message": message,
            "param": None,
            "type": "request_forbidden",
        },
        "country": "CN",
        "contact": "https://example.com/contact",
        "notice": "Moved.",
        "alternate": "https://example.com/elsewhere",
    }
    assert header(response, "link") == '<https://example.com/elsewhere>; rel="alternate"'
    assert response.request_id is None
    assert told() is told()


def test_an_id_is_another_each_time_and_of_one_length() -> None:
    form = {"type": "json", "request_id": True, "notice": "0000000000000000 {{}}"}
    one, two = told(form), told(form)
    assert one.request_id != two.request_id
    assert len(one.body) == len(two.body) == int(header(one, "content-length") or 0)
    assert document(one)["request_id"] == one.request_id
    assert document(one)["notice"] == "0000000000000000 {}"
    page = told({"type": "html"})
    assert page.request_id is not None
    assert page.body.count(page.request_id.encode()) == 1
    without = told({"type": "html", "request_id": False})
    assert without.request_id is None
    assert b"Request" not in without.body


def test_a_hidden_country_is_nowhere() -> None:
    form = {"type": "json", "show_country": False}
    for caller in (Caller(), PAGE, Caller(method="POST", content_type="application/grpc")):
        response = told(form, caller)
        everything = f"{response.headers} {response.body!r} {response.trailers}"
        assert "China" not in everything
        assert "CN" not in everything
    assert document(told(form))["detail"] == "Country, region, or territory not supported."
    name, value = warning(decided(action=Action.WARN), policy_of(form))
    assert (name, value) == ("GeoRestrict-Warning", f'code="{Code.COUNTRY}"')
    own = {**form, "message": "Not here."}
    assert document(told(own))["detail"] == "Not here."
    assert document(told(form, decision=decided(country=None)))["detail"].endswith("supported.")


def test_the_forms_contact_comes_before_the_policys() -> None:
    form = {"type": "json", "contact": "mailto:form@example.com"}
    response = told(form, contact="https://example.com/contact")
    assert document(response)["contact"] == "mailto:form@example.com"
    assert (
        'contact="mailto:form@example.com"'
        in warning(decided(), policy_of(form, contact="https://example.com/contact"))[1]
    )


# In whose words


def test_a_text_is_for_what_the_policy_refuses_and_tables_are_for_the_rest() -> None:
    plain = {"type": "json", "message": "We are not in {country}."}
    details = {code: document(told(plain, decision=decided(code)))["detail"] for code in Code}
    ours = "We are not in China (CN)."
    assert [details[code] == ours for code in Code] == [True, True, True, False, False, False]
    by_code = {"type": "json", "message": {"location_unavailable": "Later."}}
    assert document(told(by_code, decision=decided(Code.NO_LOCATION)))["detail"] == "Later."
    assert document(told(by_code))["detail"].startswith("Country, region")


def test_a_text_that_names_the_country_is_not_used_where_none_is_known() -> None:
    nowhere = decided(country=None)
    form = {"type": "json", "message": "We are not in {country}."}
    shipped = "your address does not appear to be in any country."
    assert document(told(form, decision=nowhere))["detail"].endswith(shipped)
    assert document(told(None, decision=nowhere))["detail"].endswith(shipped)
    of_network = document(told(form, decision=decided(Code.NETWORK, None)))["detail"]
    assert of_network == "The network that your address belongs to is not allowed here."
    form["message"] = "Not where you are."
    assert document(told(form, decision=nowhere))["detail"] == "Not where you are."
    form["message"] = {"unknown_country": "Where are you?"}  # type: ignore[assignment]
    assert document(told(form, decision=nowhere))["detail"] == "Where are you?"


def test_a_translation_is_chosen_by_accept_language() -> None:
    form = {"type": "json", "texts": {"de": GERMAN}}
    german = told(form, Caller(accept_language="de-CH,de;q=0.9,en;q=0.8"))
    assert document(german)["detail"] == (
        "Ihre Adresse scheint in China, Volksrepublik (CN) zu liegen."
    )
    assert header(german, "content-language") == "de"
    assert header(german, "vary") == "Accept, Accept-Language"
    english = told(form, Caller(accept_language="en"))
    assert "appears to be in China (CN)" in document(english)["detail"]
    assert header(english, "content-language") == "en"
    fallen_back = told(form, Caller(accept_language="de"), decided(Code.NETWORK))
    assert header(fallen_back, "content-language") == "de"  # the text is for any refusal
    technical = told(form, Caller(accept_language="de"), decided(Code.UNRESOLVED))
    assert header(technical, "content-language") == "en"


def test_one_language_is_not_negotiated() -> None:
    response = told({"type": "json", "language": "de", **GERMAN}, Caller(accept_language="en"))
    assert header(response, "vary") == "Accept"
    assert header(response, "content-language") == "de"


class Outline(HTMLParser):
    """The elements of a page with their attributes, and its text by element."""

    def __init__(self, page: Response) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what is open."""
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note what is in it."""
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))


def test_the_page_says_what_happened_why_whom_to_ask_and_where_to_go() -> None:
    page = told(
        {"type": "html", "alternate": "https://example.com/elsewhere", "notice": "We move."},
        contact="https://example.com/contact?a=1&b=2",
    )
    outline = Outline(page)
    texts = [text for _, text in outline.texts]
    assert ("h1", "Not available from your location") in outline.texts
    assert any("your address appears to be in China (CN)" in text for text in texts)
    assert any("The estimate can be wrong" in text for text in texts)
    assert "We move." in texts
    assert ("code", f"403, {Code.COUNTRY}") in outline.texts
    assert ("code", page.request_id) in outline.texts
    links = [attributes["href"] for tag, attributes in outline.elements if tag == "a"]
    assert links == ["https://example.com/elsewhere", "https://example.com/contact?a=1&b=2"]
    assert "is in China" not in page.body.decode()


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = told({"type": "html"})
    outline = Outline(page)
    tags = {tag for tag, _ in outline.elements}
    assert not tags & {"script", "link", "img", "iframe", "form", "input"}
    assert b"url(" not in page.body
    assert b"@import" not in page.body
    policy = header(page, "content-security-policy")
    assert policy == CONTENT_SECURITY_POLICY
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_what_an_owner_writes_is_text_and_never_markup() -> None:
    page = told(
        {"type": "html", "title": "<b>&", "message": "<script>{country}</script>",
         "countries": {"CN": "<i>"}},
        contact="https://example.com/'\"><script>",
    )  # fmt: skip
    tags = [tag for tag, _ in Outline(page).elements]
    assert not {"b", "i", "script"} & {*tags}
    assert b"&lt;script&gt;&lt;i&gt; (CN)&lt;/script&gt;" in page.body


@pytest.mark.parametrize("character", ["\0", "\x1b", "\r", "\x7f", "\x85", "\ud800"])
@pytest.mark.parametrize(
    "words",
    [
        lambda text: {"title": text},
        lambda text: {"why": {"anonymous_network": text}},
        lambda text: {"countries": {"CN": text}},
    ],
)
def test_what_cannot_be_shown_is_no_text(words: Any, character: str) -> None:
    with pytest.raises(ConfigurationError, match="which cannot be shown; remove it"):
        policy_of({"type": "html", **words(f"a{character}b")})


def test_a_brace_is_written_twice_in_a_countrys_name_as_well() -> None:
    form = {"type": "json", "message": "In {country}.\n\t{{b}}", "countries": {"CN": "{{C}}"}}
    assert document(told(form))["detail"] == "In {C} (CN).\n\t{b}"


def test_a_translated_page_marks_what_is_not_translated() -> None:
    page = told({"type": "html", "texts": {"de": GERMAN}}, Caller(accept_language="de"))
    elements = Outline(page).elements
    assert ("html", {"lang": "de", "dir": "ltr"}) in elements
    assert ("h1", {}) in elements
    assert ("h2", {"lang": "en", "dir": "ltr"}) in elements
    assert header(page, "content-language") == "de"


def test_a_page_from_right_to_left_keeps_codes_and_countries_in_their_own_direction() -> None:
    texts = {"ar": {"title": "غير متاح", "message": "يبدو أن عنوانك في {country}."}}
    page = told({"type": "html", "texts": texts}, Caller(accept_language="ar-EG"))
    elements = Outline(page).elements
    assert ("html", {"lang": "ar", "dir": "rtl"}) in elements
    assert ("bdi", {}) in elements
    assert ("code", {"dir": "ltr"}) in elements
    assert ("h2", {"lang": "en", "dir": "ltr"}) in elements


def test_an_english_variant_needs_no_marks() -> None:
    page = told({"type": "html", "language": "en-GB", "title": "Unavailable"})
    elements = Outline(page).elements
    assert ("html", {"lang": "en-GB", "dir": "ltr"}) in elements
    assert ("h2", {}) in elements


@pytest.mark.parametrize(
    ("tag", "way"),
    [("en", "ltr"), ("ar", "rtl"), ("he-IL", "rtl"), ("az-Arab", "rtl"), ("ur-Latn-PK", "ltr"),
     ("fa-AF", "rtl"), ("zh-Hant", "ltr"), ("uz-Cyrl", "ltr"), ("sl-1994", "ltr")],
)  # fmt: skip
def test_the_direction_is_that_of_the_script_else_of_the_language(tag: str, way: str) -> None:
    assert direction(tag) == way


def test_a_page_about_an_account_is_not_about_where_the_client_is_now() -> None:
    outline = Outline(told({"type": "html"}, decision=decided(Code.ACCOUNT, "DE")))
    assert ("h1", "Not available at the moment") in outline.texts
    text = " ".join(words for _, words in outline.texts)
    assert "appears to have been used lately" in text
    assert "can be wrong" in text
    assert "Germany" not in text
    assert not {"violation", "evasion", "abuse", "suspicious", "fraud"} & {*text.lower().split()}


def test_every_form_tells_an_account_the_same_and_whom_to_ask() -> None:
    contact = "https://example.com/contact"
    about = decided(Code.ACCOUNT, "DE")
    problem = document(told(None, decision=about, contact=contact))
    assert problem["error"]["code"] == "account_location_restricted"
    assert problem["detail"] == problem["error"]["message"]
    assert (problem["status"], problem["contact"]) == (403, contact)
    page = Outline(told({"type": "html"}, decision=about, contact=contact))
    assert any(each.get("href") == contact for tag, each in page.elements if tag == "a")
    asked = Caller(method="POST", content_type="application/grpc")
    grpc = told(None, asked, about)
    said = unquote(header(grpc, "grpc-message") or dict(grpc.trailers)["grpc-message"])
    assert said == problem["detail"]
    header_ = warning(about, policy_of(None, contact=contact))[1]
    assert header_.startswith('code="account_location_restricted"')
    assert contact in header_


def test_the_page_for_a_moment_says_that_it_is_for_a_moment() -> None:
    page = told({"type": "html"}, decision=decided(Code.NO_LOCATION, None))
    assert page.status == 503
    assert ("h1", "Not available at the moment") in Outline(page).texts


# To elsewhere

GO = {"type": "redirect", "location": "https://help.example.com/moved%20away"}
API = Caller(accept="application/json", paths=("/x",))


@pytest.mark.parametrize("status", [None, 302, 303])
def test_f6_a_redirect_goes_to_the_configured_url_only(status: int | None) -> None:
    form = GO if status is None else GO | {"status": status}
    caller = Caller(paths=("/x",), host="evil.example", accept="*/*")
    response = told(form, caller)
    assert (response.status, header(response, "location")) == (status or 303, GO["location"])
    assert header(response, "vary") == "Accept"
    assert response.body == f"See {GO['location']}\n".encode()


@pytest.mark.parametrize(
    ("caller", "goes"),
    [
        (Caller(paths=("/x",)), True),
        (Caller(paths=("/x",), accept="text/html"), True),
        (Caller(paths=("/x",), method="HEAD"), True),
        (API, False),
        (Caller(paths=("/x",), method="POST"), False),
        (Caller(paths=("/x",), method="POST", accept="*/*"), False),
        (Caller(paths=("/x",), method="POST", accept="text/html,*/*;q=0.8"), True),
        (Caller(paths=("/moved away",)), False),
        (Caller(paths=("/moved away/",), host="help.example.com:8443"), False),
        (Caller(paths=("/moved away",), host="HELP.example.com"), False),
        (Caller(paths=("/moved away",), host="app.example.com"), True),
        (
            Caller(paths=("/moved away",), host="app:80", forwarded_host="a, help.example.com"),
            False,
        ),
        (Caller(paths=("/moved away",), host="[::1"), False),
        (
            Caller(paths=("/moved away",), host="a", forwarded_host="help.example.com" + ",a" * 7),
            False,
        ),
        (  # nobody is behind that many proxies
            Caller(paths=("/moved away",), host="a", forwarded_host="help.example.com" + ",a" * 8),
            True,
        ),
        (Caller(paths=("/moved away", "/mount/moved away"), host="help.example.com"), False),
        (Caller(paths=("/",), host="help.example.com"), True),
    ],
)
def test_f6_who_wants_json_or_is_there_already_is_not_sent_on(caller: Caller, goes: bool) -> None:
    response = told(GO, caller)
    assert (response.status == 303) == goes
    if not goes:
        assert (response.status, header(response, "location")) == (403, None)


def test_f6_the_root_of_a_host_is_a_target_as_well() -> None:
    form = {"type": "redirect", "location": "https://help.example.com"}
    assert told(form, Caller(paths=("/",), host="help.example.com")).status == 403
    assert told(form, Caller(paths=("/",), host="app.example.com")).status == 303


def test_f6_where_something_went_wrong_nobody_is_sent_elsewhere() -> None:
    for code, status in ((Code.UNRESOLVED, 403), (Code.NO_LOCATION, 503)):
        assert told(GO, Caller(paths=("/x",)), decided(code)).status == status


def test_the_answer_to_who_is_there_already_depends_on_what_was_asked_for() -> None:
    assert header(told(GO, Caller(paths=("/moved away",))), "vary") == "Accept, X-Forwarded-Host"


# To gRPC


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("APPLICATION/GRPC; charset=x", "application/grpc"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpcx", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_a_grpc_client_gets_a_status_it_knows(content_type: str, answer: str | None) -> None:
    form = {"type": "redirect", "location": WHY, "message": "Not in {country}: 100 % \u4e2d"}
    caller = Caller(method="POST", content_type=content_type, te="deflate, Trailers;q=0.5")
    response = told(form, caller)
    if answer is None:
        assert (response.status, response.trailers) == (403, ())
        return
    assert (response.status, response.body) == (200, b"")
    assert header(response, "content-type") == answer
    status = ("grpc-status", "7"), ("grpc-message", "Not in China (CN): 100 %25 %E4%B8%AD")
    in_header = told(form, caller._replace(te="deflate"))
    assert (in_header.headers[-2:], in_header.trailers) == (status, ())
    if answer == "application/grpc":
        assert (response.headers, response.trailers) == (in_header.headers[:-2], status)
    else:
        assert response == in_header
    assert header(response, "vary") is None
    later = told(form, caller, decided(Code.NO_LOCATION))
    assert ("grpc-status", "14") in later.headers + later.trailers
    assert told(form, Caller(method="GET", content_type=content_type)).status == 303


# Warnings


def test_f8_a_warning_says_from_when_it_bites() -> None:
    decision = decided(
        action=Action.WARN,
        warn_from=datetime(2024, 6, 25, tzinfo=UTC),
        block_from=datetime(2024, 7, 9, 2, tzinfo=timezone(timedelta(hours=2))),
    )
    policy = policy_of(contact="https://example.com/contact")
    assert warnings(decision, policy) == (
        (
            "georestrict-warning",
            'code="unsupported_country_region_territory", country="CN", '
            'block_from="2024-07-09T00:00:00Z", contact="https://example.com/contact"',
        ),
        ("deprecation", "@1719273600"),
        ("sunset", "Tue, 09 Jul 2024 00:00:00 GMT"),
    )


def test_f8_a_warning_without_a_schedule_has_no_dates() -> None:
    (only,) = warnings(decided(action=Action.WARN), policy_of(contact="mailto:\u00fc@example.com"))
    assert only == (
        "georestrict-warning",
        'code="unsupported_country_region_territory", country="CN"',
    )


def test_f8_the_warning_is_only_ever_ours_and_the_dates_may_be_the_apps() -> None:
    ours = (("georestrict-warning", "code"), ("deprecation", "@1"), ("sunset", "then"))
    app = [("GeoRestrict-Warning", "forged"), ("Sunset", "never"), ("x", "y")]
    assert warned(app, ours, exposed=False) == [
        ("Sunset", "never"),
        ("x", "y"),
        ("georestrict-warning", "code"),
        ("deprecation", "@1"),
    ]
    assert warned([], ours, exposed=True)[-1] == (
        "access-control-expose-headers",
        "GeoRestrict-Warning, Deprecation, Sunset",
    )


# Of the app's own making


def test_an_own_response_gets_what_every_refusal_has() -> None:
    own = Response(
        status=418,
        headers=(
            ("Content-Type", "text/plain"),
            ("ETag", '"x"'),
            ("Set-Cookie", "a=b"),
            ("Cache-Control", "public"),
            ("Content-Length", "99"),
            ("Connection", "close"),
            ("X-Accel-Expires", "60"),
            ("Edge-Control", "max-age=60"),
            ("Surrogate-Control", "max-age=60"),
            ("CDN-Cache-Control", "max-age=60"),
            ("Vercel-CDN-Cache-Control", "max-age=60"),
            ("X-Own", "\u00fc"),
        ),
        body=b"teapot",
    )
    assert completed(own).headers == (
        ("content-type", "text/plain"),
        ("x-own", "\u00fc"),
        ("content-length", "6"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    )
    varied = Response(
        status=302, headers=(("Vary", "Accept"), ("Access-Control-Allow-Origin", "*")), body=b""
    )
    extra = (("access-control-allow-origin", "https://a.example"),)
    assert completed(varied, extra, "Origin").headers == (
        ("vary", "Accept, Origin"),
        ("content-length", "0"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", "https://a.example"),
    )


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, TypeError),
        ({"status": 403}, TypeError),
        (Response(status="403", headers=(), body=b""), TypeError),  # type: ignore[arg-type]
        (Response(status=True, headers=(), body=b""), TypeError),
        (Response(status=403, headers=(), body="text"), TypeError),  # type: ignore[arg-type]
        (Response(status=403, headers=((b"a", b"b"),), body=b"x"), TypeError),  # type: ignore[arg-type]
        (Response(status=100, headers=(), body=b"x"), ValueError),
        (Response(status=204, headers=(), body=b""), ValueError),
        (Response(status=304, headers=(), body=b""), ValueError),
        (Response(status=600, headers=(), body=b"x"), ValueError),
        (Response(status=404, headers=(), body=b"x"), ValueError),
        (Response(status=405, headers=(), body=b"x"), ValueError),
        (Response(status=403, headers=(), body=b""), ValueError),
        (Response(status=200, headers=(), body=b""), ValueError),
        (Response(status=400, headers=(), body=b""), ValueError),
        (Response(status=403, headers=(("a", "b\r\nc: d"),), body=b"x"), ValueError),
        (Response(status=403, headers=(("a b", "c"),), body=b"x"), ValueError),
        (Response(status=403, headers=(("", "c"),), body=b"x"), ValueError),
        (Response(status=403, headers=(("a", "\u4e2d"),), body=b"x"), ValueError),
    ],
)
def test_what_cannot_be_sent_is_no_response(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        completed(given)


# CORS and caches


@pytest.mark.parametrize(
    ("origin", "checked"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:80", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost", "ionic://localhost"),
        ("app://-", "app://-"),
        ("app://a:443", "app://a:443"),
    ],
)
def test_an_origin_is_as_browsers_write_it(origin: str, checked: str) -> None:
    assert checked_origins([origin]) == {checked}


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://*.example.com", "example.com", "https://example.com/", "https://a/b",
     "ftp://a", "file://a", "ws://a", "app://", "app://a/b", "https://u@a", "https://a:x", "https://[a", "https://", "https://a b", "https://\u00fc", 5],
)  # fmt: skip
def test_what_is_no_origin_is_an_error_that_shows_one(origin: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"cors_origins: .* write one such as https://"):
        checked_origins([origin])


@pytest.mark.parametrize("given", ["https://app.example.com", None, 5])
def test_origins_are_several(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"cors_origins is .* must be several"):
        checked_origins(given)


def test_a_block_can_be_read_by_the_origins_that_are_configured() -> None:
    origins = frozenset({"https://app.example.com"})
    for origin, allowed in (
        ("https://app.example.com", "https://app.example.com"),
        ("https://evil.example", None),
        ("", None),
    ):
        for caller in (Caller(), PAGE, Caller(method="POST", content_type="application/grpc-web")):
            response = blocked(decided(), policy_of(), caller._replace(origin=origin), origins)
            assert header(response, "access-control-allow-origin") == allowed
            assert "Origin" in str(header(response, "vary"))
    assert header(told(None, Caller(origin="https://evil.example")), "vary") == "Accept"


def test_d7_a_preflight_asks_with_an_origin_and_a_method() -> None:
    both = [(b"Origin", b"https://a"), (b"Access-Control-Request-Method", b"POST")]
    assert is_preflight("OPTIONS", both)
    assert not is_preflight("GET", both)
    assert not is_preflight("OPTIONS", both[:1])
    assert not is_preflight("OPTIONS", both[1:])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([("Cache-Control", "public, max-age=60")], [("cache-control", "private, max-age=60")]),
        ([("cache-control", "s-maxage=9, max-age=60, proxy-revalidate")], [("cache-control", "private, max-age=60")]),
        ([("Cache-Control", "PUBLIC"), ("cache-control", "immutable")], [("cache-control", "private, immutable")]),
        ([("Cache-Control", "private, max-age=60")], [("Cache-Control", "private, max-age=60")]),
        ([("Cache-Control", "no-store")], [("Cache-Control", "no-store")]),
        (
            [("Cache-Control", "Must-Understand, no-store"), ("cache-control", "public, max-age=60")],
            [("cache-control", "private, no-store, max-age=60")],
        ),
        ([("Cache-Control", 'private="x, y", public')], [("cache-control", 'private, private="x, y"')]),
        ([("x", "y")], [("x", "y"), ("cache-control", "private")]),
        ([("Cache-Control", "")], [("cache-control", "private")]),
        (
            [("CDN-Cache-Control", "max-age=9"), ("Surrogate-Control", "max-age=9"), ("X-Accel-Expires", "9"),
             ("Cloudflare-CDN-Cache-Control", "max-age=9"), ("Edge-Control", "x"), ("Cache-Control", "private")],
            [("Cache-Control", "private")],
        ),
    ],
)  # fmt: skip
def test_f7_what_a_shared_cache_might_keep_becomes_private(given: Any, kept: Any) -> None:
    assert kept_from_shared_caches(given) == kept
