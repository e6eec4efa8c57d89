"""The headers of a warned client's response: what it is warned of, and from when it bites."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime

from georestrict.decision import Decision
from georestrict.policy import Policy
from georestrict.response.block import form_of

#: Response header of a warned request (a structured field dictionary, RFC 9651).
WARNING_HEADER = "GeoRestrict-Warning"


def warning(decision: Decision, policy: Policy) -> tuple[str, str]:
    """Return the header that says what a client is warned of."""
    form = form_of(decision, policy)
    fields = [f'code="{decision.code}"']
    if decision.country and form.show_country:
        fields.append(f'country="{decision.country}"')
    if decision.block_from is not None:
        since = decision.block_from.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields.append(f'block_from="{since}"')
    contact = form.contact or policy.contact
    if contact:
        escaped = contact.replace("\\", "\\\\").replace('"', '\\"')
        if escaped.isascii():
            fields.append(f'contact="{escaped}"')
    return WARNING_HEADER, ", ".join(fields)


def warnings(decision: Decision, policy: Policy) -> tuple[tuple[str, str], ...]:
    """Return every header of a warned response, in lower case.

    The first is the warning itself. Where the rule has a schedule, the others are ``deprecation``
    (RFC 9745) and ``sunset`` (RFC 8594), which an app may have set for a reason of its own.
    """
    name, value = warning(decision, policy)
    headers = [(name.lower(), value)]
    if decision.warn_from is not None:
        headers.append(("deprecation", f"@{int(decision.warn_from.timestamp())}"))
    if decision.block_from is not None:
        headers.append(("sunset", _http_date(decision.block_from)))
    return tuple(headers)


def warned(
    headers: Iterable[tuple[str, str]], ours: tuple[tuple[str, str], ...], *, exposed: bool
) -> list[tuple[str, str]]:
    """Return an app's headers with ours.

    The warning is only ever ours; of the others the app's own stay. ``exposed`` lets browser apps
    of other origins read them.
    """
    (name, value), *others = ours
    kept = [pair for pair in headers if pair[0].lower() != name]
    has = {key.lower() for key, _ in kept}
    added = [(name, value), *(pair for pair in others if pair[0] not in has)]
    if exposed:
        names = (WARNING_HEADER, *(key.title() for key, _ in others))
        added.append(("access-control-expose-headers", ", ".join(names)))
    return [*kept, *added]


def _http_date(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC), usegmt=True)
