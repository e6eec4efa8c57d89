"""Which response a blocked client receives."""

from __future__ import annotations

import secrets
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from georestrict.decision import Code, Decision, Reason
from georestrict.policy import Policy
from georestrict.policy.responses import BUILT_IN, ResponseForm, ResponseType
from georestrict.response import cors, grpc
from georestrict.response.caller import Caller
from georestrict.response.document import document
from georestrict.response.negotiation import HTML, JSON, language, media_type
from georestrict.response.page import CONTENT_SECURITY_POLICY, page
from georestrict.response.subject import Subject
from georestrict.response.values import FIXED, Headers, Response
from georestrict.response.wording import Wording

_RETRY_AFTER_SECONDS = 300
_ID_BYTES = 8
_ID_MARK = "0" * (2 * _ID_BYTES)  # as long as an id, and split there
_MOST_HOSTS, _MOST_OF_HOSTS = 8, 1024  # entries, characters; the last were added by proxies
_NOBODY = Caller()
_NO_ORIGINS: frozenset[str] = frozenset()
# The policy did not refuse these: something went wrong, or is in between (a private address is that
# of a proxy). They are not sent elsewhere, and nobody's legal demand is to blame.
_TECHNICAL = (Code.UNRESOLVED, Code.NO_LOCATION)


def form_of(decision: Decision, policy: Policy) -> ResponseForm:
    """Return the form in which a decision is told: its rule's, else the policy's, else JSON."""
    name = decision.response or policy.response or "json"
    return policy.responses.get(name) or BUILT_IN[name]


def blocked(
    decision: Decision,
    policy: Policy,
    caller: Caller = _NOBODY,
    origins: frozenset[str] = _NO_ORIGINS,
) -> Response:
    """Return what a blocked client receives.

    ``origins`` are those whose browser apps may read it. For the form ``app`` this is what is sent
    when the app's own callable failed.
    """
    form = form_of(decision, policy)
    code = decision.code or Code.COUNTRY
    usual = HTML if form.type is ResponseType.HTML else JSON
    asked = _Asked(
        form=form,
        code=code,
        technical=code in _TECHNICAL or decision.reason is Reason.PRIVATE,
        country=decision.country if form.show_country else None,
        contact=form.contact or policy.contact,
        media=media_type(caller.accept, usual),
        language=language(caller.accept_language, form.languages),
        origin=caller.origin if caller.origin in origins else None,
        vary=_VARY[len(form.languages) > 1, bool(origins)],
    )
    answer = grpc.answered_in(caller.method, caller.content_type)
    if answer is not None:
        return _for_grpc(asked, answer, grpc.takes_trailers(answer, caller.te))
    if form.type is ResponseType.REDIRECT and not asked.technical:
        if _leads_to(form, caller):
            asked = asked._replace(vary=(*asked.vary, "X-Forwarded-Host"))
        elif _wants_to_go(caller):
            return _redirected(asked)
    return _rendered(asked).response()


class _Asked(NamedTuple):
    """Everything that a response depends on, and so the key under which it is kept."""

    form: ResponseForm
    code: Code
    technical: bool
    country: str | None
    contact: str | None
    media: str
    language: str
    origin: str | None
    vary: tuple[str, ...]

    @property
    def status(self) -> int:
        if self.code is Code.NO_LOCATION:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self.form.status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
            return HTTPStatus.FORBIDDEN if self.technical else self.form.status
        return HTTPStatus.FORBIDDEN

    @property
    def wording(self) -> Wording:
        return Wording(self.form, self.language, self.code, self.country)


# by whether there are several languages, and whether there are origins
_VARY = {
    (languages, origins): (
        "Accept",
        *(("Accept-Language",) if languages else ()),
        *(("Origin",) if origins else ()),
    )
    for languages in (False, True)
    for origins in (False, True)
}


class _Rendered(NamedTuple):
    """A response that is kept; if it has an id, one without, to be put before ``rest``."""

    kept: Response
    rest: bytes | None

    def response(self) -> Response:
        if self.rest is None:
            return self.kept
        request_id = secrets.token_hex(_ID_BYTES)
        body = self.kept.body + request_id.encode() + self.rest
        kept = self.kept
        return Response(status=kept.status, headers=kept.headers, body=body, request_id=request_id)


# Bounded by forms, codes, countries, types and languages, nothing of which a client invents.
@lru_cache(maxsize=4096)
def _rendered(asked: _Asked) -> _Rendered:
    form, status, wording = asked.form, asked.status, asked.wording
    is_page = asked.media == HTML
    with_id = is_page if form.request_id is None else form.request_id
    is_legal = status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS
    subject = Subject(
        status=status,
        code=asked.code,
        country=asked.country,
        contact=asked.contact,
        alternate=form.alternate,
        blocked_by=form.blocked_by if is_legal else None,
        request_id=_ID_MARK if with_id else None,
    )
    body = (page if is_page else document)(subject, wording).encode()
    headers: list[tuple[str, str]] = [
        ("content-type", "text/html; charset=utf-8" if is_page else asked.media),
        ("content-length", str(len(body))),
        *_common(asked),
    ]
    if is_page:
        headers.append(("content-security-policy", CONTENT_SECURITY_POLICY))
    if is_page or form.texts:
        told = asked.language if is_page else wording.about("message").language
        headers.append(("content-language", told))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("retry-after", str(_RETRY_AFTER_SECONDS)))
    links = [(subject.blocked_by, "blocked-by"), (subject.alternate, "alternate")]
    linked = ", ".join(f'<{to}>; rel="{relation}"' for to, relation in links if to is not None)
    if linked:
        headers.append(("link", linked))
    rest: bytes | None = None
    if with_id:  # it comes after all texts, so the last mark is ours
        body, _, rest = body.rpartition(_ID_MARK.encode())
    return _Rendered(Response(status=status, headers=tuple(headers), body=body), rest)


@lru_cache(maxsize=4096)
def _for_grpc(asked: _Asked, content_type: str, with_trailers: bool) -> Response:
    unavailable = asked.status == HTTPStatus.SERVICE_UNAVAILABLE
    code = grpc.UNAVAILABLE if unavailable else grpc.PERMISSION_DENIED
    wording = asked.wording
    told = grpc.trailers(code, wording.about("message").filled(wording.country))
    asked = asked._replace(vary=asked.vary[1:])  # it is the answer to any Accept
    return Response(
        status=HTTPStatus.OK,  # of the transport; the refusal is in grpc-status
        headers=(
            ("content-type", content_type),
            ("content-length", "0"),
            *_common(asked),
            *(() if with_trailers else told),
        ),
        body=b"",
        trailers=told if with_trailers else (),
    )


@lru_cache(maxsize=4096)
def _redirected(asked: _Asked) -> Response:
    form = asked.form
    body = f"See {form.location}\n".encode()
    vary = tuple(name for name in asked.vary if name != "Accept-Language")
    return Response(
        status=form.status or HTTPStatus.SEE_OTHER,
        headers=(
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            *_common(asked._replace(vary=vary)),
            ("location", form.location or ""),
        ),
        body=body,
    )


def _common(asked: _Asked) -> Headers:
    """Return what every refusal has, with the header ``vary`` between."""
    vary = (("vary", ", ".join(asked.vary)),) if asked.vary else ()
    origin = () if asked.origin is None else cors.readable(asked.origin)
    return (*FIXED[:1], *vary, *FIXED[1:], *origin)


def _wants_to_go(caller: Caller) -> bool:
    """Whether a redirect is of use: for whoever reads pages, not for a program that wants JSON."""
    usual = HTML if caller.method in ("GET", "HEAD") else JSON
    return media_type(caller.accept, usual) == HTML


def _leads_to(form: ResponseForm, caller: Caller) -> bool:
    """Whether the request is for the redirect's own target, as far as it tells: it would loop.

    Ports and slashes at the end are not compared: proxies change them.
    """
    target = urlsplit(form.location or "")
    path = _without_slash(unquote(target.path))
    if path not in map(_without_slash, caller.paths):
        return False
    hosts = caller.forwarded_host[-_MOST_OF_HOSTS:].rsplit(",", _MOST_HOSTS)[-_MOST_HOSTS:]
    named = [_host(host) for host in (caller.host[:_MOST_OF_HOSTS], *hosts) if host]
    return not named or any(host in (target.hostname, None) for host in named)


def _without_slash(path: str) -> str:
    return path.rstrip("/") or "/"


def _host(text: str) -> str | None:
    """Return the name in a ``Host`` header, or None if it has none."""
    try:
        return urlsplit(f"//{text.strip()}").hostname
    except ValueError:
        return None
