"""The JSON document of a refusal: problem details and the ``error`` object of SDKs in one."""

from __future__ import annotations

import json
from http import HTTPStatus

from georestrict.response.subject import Subject
from georestrict.response.wording import Wording


def document(subject: Subject, wording: Wording) -> str:
    """Return the document: RFC 9457's members, and the ``error`` object that API clients know."""
    status = subject.status
    message = wording.about("message").filled(wording.country)
    if status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        message = f"{message} {wording.word('legal').filled('')}"
    kind = "server_error" if status == HTTPStatus.SERVICE_UNAVAILABLE else "request_forbidden"
    members: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "error": {"code": str(subject.code), "message": message, "param": None, "type": kind},
    }
    notice = wording.notice
    more = {
        "country": subject.country,
        "contact": subject.contact,
        "notice": notice and notice.filled(""),
        "alternate": subject.alternate,
        "blocked_by": subject.blocked_by,
        "request_id": subject.request_id,
    }
    members |= {name: value for name, value in more.items() if value is not None}
    return json.dumps(members, ensure_ascii=False)
