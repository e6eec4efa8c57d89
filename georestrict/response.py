"""What a blocked or warned client receives, whatever the framework.

A blocked client gets a small fixed body that says what happened, for people and for software. It is
never cached, and nothing of the request is in it. Never 404, 405 or an empty body: users take those
for a defect of the product.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from functools import lru_cache

from georestrict import countries
from georestrict.decision import Code, Decision, Reason
from georestrict.policy import Policy

#: Response header of a warned request (a structured field dictionary, RFC 9651).
WARNING_HEADER = "GeoRestrict-Warning"

_RETRY_AFTER_SECONDS = 300
_LONGEST_ACCEPT = 1024
_TITLES = {403: "Forbidden", 503: "Service Unavailable"}

JSON, PROBLEM, HTML = "application/json", "application/problem+json", "text/html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete response: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def blocked(decision: Decision, policy: Policy, accept: str | None) -> Response:
    """Return what a blocked client receives; ``accept`` is the request's ``Accept`` header."""
    return _render(
        decision.code or Code.COUNTRY,
        decision.reason,
        decision.country,
        policy.contact,
        media_type(accept),
    )


def warning(decision: Decision, policy: Policy) -> tuple[str, str]:
    """Return the header that a warned client's response carries."""
    fields = [f'code="{decision.code}"']
    if decision.country:
        fields.append(f'country="{decision.country}"')
    if policy.contact:
        escaped = policy.contact.replace("\\", "\\\\").replace('"', '\\"')
        if escaped.isascii():
            fields.append(f'contact="{escaped}"')
    return WARNING_HEADER, ", ".join(fields)


def media_type(accept: str | None) -> str:
    """Choose the body's media type: JSON unless the client prefers a page (RFC 9110 §12.5.1)."""
    if not accept:
        return JSON
    offered = {JSON: 0.0, PROBLEM: 0.0, HTML: 0.0}
    for part in accept[:_LONGEST_ACCEPT].lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        if name in offered:
            offered[name] = max(offered[name], quality)
    best = max(offered, key=lambda name: (offered[name], name == JSON, name == PROBLEM))
    return best if offered[best] > 0 else JSON


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


@lru_cache(maxsize=4096)
def _render(
    code: Code, reason: Reason, country: str | None, contact: str | None, media: str
) -> Response:
    status = 503 if code is Code.NO_LOCATION else 403
    message = _message(code, reason, country)
    body = (_page if media == HTML else _document)(status, code, message, country, contact).encode()
    headers = [
        ("content-type", media if media != HTML else "text/html; charset=utf-8"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("vary", "Accept"),
        ("x-content-type-options", "nosniff"),
    ]
    if media == HTML:
        headers.append(("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"))
    if status == 503:
        headers.append(("retry-after", str(_RETRY_AFTER_SECONDS)))
    return Response(status=status, headers=tuple(headers), body=body)


def _message(code: Code, reason: Reason, country: str | None) -> str:
    if code is Code.COUNTRY:
        found = (
            "does not appear to be in any country"
            if country is None
            else f"appears to be in {countries.NAMES.get(country, country)} ({country})"
        )
        return f"Country, region, or territory not supported: your address {found}."
    return {
        Code.ANONYMOUS: "Your address appears to be of an anonymising network, not allowed here.",
        Code.NETWORK: "The network that your address belongs to is not allowed here.",
        Code.UNRESOLVED: "Your address could not be determined, so this request cannot be served.",
        Code.NO_LOCATION: "Your location cannot be determined at the moment; try again later.",
    }[code]


def _document(
    status: int, code: Code, message: str, country: str | None, contact: str | None
) -> str:
    """One document of two shapes: problem details (RFC 9457), and the ``error`` object of SDKs."""
    kind = "server_error" if status == 503 else "request_forbidden"
    document: dict[str, object] = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": message,
        "error": {"code": str(code), "message": message, "param": None, "type": kind},
    }
    if country is not None:
        document["country"] = country
    if contact is not None:
        document["contact"] = contact
    return json.dumps(document, ensure_ascii=False)


def _page(status: int, code: Code, message: str, country: str | None, contact: str | None) -> str:
    link = html.escape(contact or "", quote=True)
    ask = f'<p>If this seems wrong, <a href="{link}">contact us</a>.</p>' if contact else ""
    heading = "Not available at the moment" if status == 503 else "Not available from your location"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.125rem/1.6 system-ui, sans-serif; max-width: 38rem; }}
body {{ margin: 0 auto; padding: 2rem 1rem; }}
code {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<p>{html.escape(message)}</p>
{ask}
<p><small>Status {status}, code <code>{code}</code></small></p>
</main>
</body>
</html>
"""
