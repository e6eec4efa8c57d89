"""What a blocked or warned client receives, whatever the framework.

A blocked client gets a small fixed body that says what happened, for people and for software. It is
never cached, and nothing of the request is in it. Never 404, 405 or an empty body: users take those
for a defect of the product.
"""

from georestrict.response.block import blocked, form_of
from georestrict.response.caches import kept_from_shared_caches
from georestrict.response.caller import Caller
from georestrict.response.cors import checked_origins, is_preflight, readable
from georestrict.response.values import Response, completed
from georestrict.response.warning import WARNING_HEADER, warned, warning, warnings

__all__ = [
    "WARNING_HEADER",
    "Caller",
    "Response",
    "blocked",
    "checked_origins",
    "completed",
    "form_of",
    "is_preflight",
    "kept_from_shared_caches",
    "readable",
    "warned",
    "warning",
    "warnings",
]
