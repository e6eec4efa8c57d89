"""Assertions about decisions, and about the responses that follow from them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from georestrict.countries import NAMES
from georestrict.decision import Code, Decision
from georestrict.policy import Action
from georestrict.response.page import CONTENT_SECURITY_POLICY
from georestrict.response.values import FIXED
from georestrict.response.warning import WARNING_HEADER
from georestrict.testing.standing_in import is_standing_in

_REFUSALS = (403, 451, 503)
_IN_WARNING = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def assert_blocked(
    answer: Any,
    *,
    rule: str | None = None,
    reason: str | None = None,
    code: str | None = None,
    country: str | None = None,
    status: int | None = None,
    enforced: bool = True,
) -> None:
    """Assert that a decision is a block, or that a response is the refusal that follows from one.

    ``answer`` is a ``Decision``, or the response of a test client: of httpx, Starlette, FastAPI,
    Litestar, Flask, Werkzeug, Django or requests. The other arguments are what it must say, too.
    A rule and a reason are not told to clients, so only a decision can be asked for them; a
    page, a redirect and an app's own response tell no code and no country. Redirects and an app's
    own responses are recognised by the ``status`` that you name. ``enforced=False`` takes what
    would be decided without a dry run or the emergency switch; only a decision tells that.

    >>> from georestrict import Engine
    >>> from georestrict.testing import client_from, world
    >>> engine = Engine({"default": "allow", "contact": "https://example.com/", "rules": [
    ...     {"name": "embargo", "action": "block", "countries": ["CU"]}]}, database=world())
    >>> assert_blocked(engine.decide(client_from("CU")), rule="embargo", country="CU")
    >>> assert_blocked(engine.decide(client_from("FR")))
    Traceback (most recent call last):
      ...
    AssertionError: expected a block, but the decision is an allow:
      Decision(action=allow, reason=default, rule=None, country=FR, code=None, would=None)
      of an address that appears to be in FR (France)

    Raises:
        AssertionError: with what was decided instead.
        TypeError: if it is neither, or is asked for what it does not tell.
    """
    __tracebackhide__ = True
    wanted = {"rule": rule, "reason": reason, "code": code, "country": country, "status": status}
    _check(Action.BLOCK, answer, wanted, enforced)


def assert_warned(
    answer: Any,
    *,
    rule: str | None = None,
    reason: str | None = None,
    code: str | None = None,
    country: str | None = None,
    status: int | None = None,
    enforced: bool = True,
) -> None:
    """Assert that a decision is a warning, or that a response carries one.

    The arguments are those of :func:`assert_blocked`; ``status`` is that of the app's response.

    Raises:
        AssertionError: with what was decided instead.
        TypeError: if it is neither, or is asked for what it does not tell.
    """
    __tracebackhide__ = True
    wanted = {"rule": rule, "reason": reason, "code": code, "country": country, "status": status}
    _check(Action.WARN, answer, wanted, enforced)


def assert_allowed(
    answer: Any,
    *,
    rule: str | None = None,
    reason: str | None = None,
    country: str | None = None,
    status: int | None = None,
    enforced: bool = True,
) -> None:
    """Assert that a decision is an allow, or that a response is the app's own, without a warning.

    The arguments are those of :func:`assert_blocked`; ``status`` is that of the app's response,
    which may be a refusal of its own.

    Raises:
        AssertionError: with what was decided instead.
        TypeError: if it is neither, or is asked for what it does not tell.
    """
    __tracebackhide__ = True
    wanted = {"rule": rule, "reason": reason, "country": country, "status": status}
    _check(Action.ALLOW, answer, wanted, enforced)


def _check(action: Action, answer: Any, given: dict[str, Any], enforced: bool) -> None:
    __tracebackhide__ = True
    wanted = {name: value for name, value in given.items() if value is not None}
    if isinstance(answer, Decision):
        if "status" in wanted:
            raise TypeError("a Decision has no status; give the response instead")
        found = _told_by(answer)
        decided = answer.action if enforced else answer.decided
    else:
        if not enforced:
            raise TypeError("a response tells what was enforced; give the Decision instead")
        response = _Response.of(answer)
        decided = response.action(wanted.get("status") if action is Action.BLOCK else None)
        found = response.told(decided)
        for name in wanted:
            if name not in found:
                raise TypeError(
                    f"this response does not tell its {name}; give the Decision instead, such as "
                    "engine.decide(client_from(…))"
                )
    differing = [
        f"{name} is {found[name]}, not {value}"
        for name, value in wanted.items()
        if str(found[name]) != str(value)
    ]
    if decided is action and not differing:
        return
    what = "decision" if isinstance(answer, Decision) else "response"
    if decided is not action:
        says = f"expected {_A[action]}, but the {what} is {_A[decided]}"
    else:
        says = f"it is {_A[action]}, but {' and '.join(differing)}"
    raise AssertionError(f"{says}:\n{_details(answer, action, decided)}")


_A = {Action.ALLOW: "an allow", Action.WARN: "a warning", Action.BLOCK: "a block"}


def _told_by(decision: Decision) -> dict[str, Any]:
    names = ("rule", "reason", "code", "country")
    return {name: getattr(decision, name) for name in names}


def _details(answer: Any, action: Action, decided: Action) -> str:
    if not isinstance(answer, Decision):
        return _Response.of(answer).details(action, decided)
    names = ("action", "reason", "rule", "country", "code", "would")
    fields = ", ".join(f"{name}={getattr(answer, name)}" for name in names)
    lines = [f"Decision({fields})", f"of an address that {_place_of(answer)}"]
    if answer.would is action:
        why = "the emergency switch is on" if answer.emergency else "the policy is a dry run"
        lines.append(f"it would be {_A[action]}, but {why}: enforced=False asks for that")
    if answer.counted:
        lines.append(f"counted before by {', '.join(answer.counted)}")
    if answer.stale:
        lines.append(f"too old, and so not judged by: {', '.join(answer.stale)}")
    return "\n".join(f"  {line}" for line in lines)


def _place_of(decision: Decision) -> str:
    location = decision.location
    code = location.subdivision or location.country
    where = (
        f"is in no country ({location.status})"
        if location.country is None
        else f"appears to be in {code} ({NAMES[location.country]})"
    )
    kinds = ", ".join(f"{kind}:{sure}" for kind, sure in location.categories.items())
    lists = ", ".join(sorted(location.lists))
    return where + (f", network {kinds}" if kinds else "") + (f", on {lists}" if lists else "")


@dataclass(frozen=True)
class _Response:
    """What of a test client's response tells what was decided."""

    status: int
    headers: dict[str, str]
    body: bytes | None  #: None if it cannot be read here

    @classmethod
    def of(cls, answer: Any) -> _Response:
        if iscoroutine(answer):
            answer.close()
            raise TypeError("this is a coroutine, no response: await it")
        status, headers = getattr(answer, "status_code", None), getattr(answer, "headers", None)
        if not isinstance(status, int) or headers is None:
            raise TypeError(
                f"this is of type {type(answer).__qualname__}, and neither a Decision nor a "
                "response with status_code and headers"
            )
        pairs = {str(name).lower(): str(value) for name, value in headers.items()}
        return cls(status, pairs, _body(answer))

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of a refusal, or an empty one."""
        if not self.body or "json" not in self.headers.get("content-type", ""):
            return {}
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def code(self) -> str | None:
        """The code of a refusal's document."""
        error = self.document.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) and code in {*Code} else None

    @property
    def has_our_headers(self) -> bool:
        """Whether it has what every refusal has, the app's own forms as well."""
        return all(value in self.headers.get(name, "") for name, value in FIXED)

    @property
    def is_ours(self) -> bool:
        """Whether it is a refusal that only we write."""
        if self.headers.get("grpc-status") is not None:
            return self.has_our_headers
        is_page = self.headers.get("content-security-policy") == CONTENT_SECURITY_POLICY
        is_empty = not self.body  # to HEAD, or what cannot be read here
        told = self.code is not None or is_page or is_empty
        return self.status in _REFUSALS and self.has_our_headers and told

    @property
    def warning(self) -> dict[str, str] | None:
        """The fields of a warning."""
        value = self.headers.get(WARNING_HEADER.lower())
        return None if value is None else dict(_IN_WARNING.findall(value))

    def action(self, status: int | None) -> Action:
        """Return what was done; a ``status`` says that other forms of refusal count, too."""
        if self.warning is not None:
            return Action.WARN
        named = status is not None and status == self.status and self.has_our_headers
        if self.is_ours or (named and self.status >= 300):
            return Action.BLOCK
        return Action.ALLOW

    def told(self, action: Action) -> dict[str, Any]:
        """Return what it says of the decision."""
        found: dict[str, Any] = {"status": self.status}
        if action is Action.WARN:
            found |= {"code": None, "country": None, **(self.warning or {})}
        elif self.code is not None:
            found |= {"code": self.code, "country": self.document.get("country")}
        return found

    def details(self, action: Action, decided: Action) -> str:
        """Say what it is, and why it may be another than was expected."""
        start = (self.body or b"")[:300].decode("utf-8", "replace")
        lines = [f"status {self.status}: {start}" if start else f"status {self.status}"]
        if self.warning is not None:
            lines.append(f"{WARNING_HEADER}: {self.headers[WARNING_HEADER.lower()]}")
        if decided is Action.ALLOW and self.has_our_headers:
            lines.append(
                "it is cached by nobody, as refusals are: if it is a redirect or the app's own "
                f"response to a block, say so with status={self.status}"
            )
        elif decided is Action.ALLOW and not is_standing_in():
            lines.append(
                "is the app's data that of the test? client_from() tells addresses of world(): "
                "have the test ask for the fixture georestrict_world"
            )
        elif decided is Action.BLOCK and self.code == Code.UNRESOLVED:
            lines.append(
                "the app could not tell who asks: where its client= reads a header, send that, too"
            )
        return "\n".join(f"  {line}" for line in lines)


def _body(answer: Any) -> bytes | None:
    """The body: ``content`` (httpx, requests, Django), ``get_data()`` (Werkzeug) or ``body``."""
    read = getattr(answer, "get_data", None)
    if read is not None:  # Quart's has to be awaited
        return None if iscoroutinefunction(read) else bytes(read())
    for name in ("content", "body"):
        body = getattr(answer, name, None)
        if isinstance(body, bytes):
            return body
    return None
