"""Formats of access logs: what they are called, and which one a log has."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from georestrict.errors import ConfigurationError
from georestrict.replay.formats.cloud import ALB, CloudFrontFormat
from georestrict.replay.formats.escapes import GUNICORN, RAW
from georestrict.replay.formats.frame import EVENTS, FRAME, Format
from georestrict.replay.formats.json_lines import EVENTS_FORMAT, caddy_format, traefik_format
from georestrict.replay.formats.lines import LineFormat
from georestrict.replay.formats.servers import apache_format, named_format, nginx_format

__all__ = ["EVENTS", "FRAME", "NAMES", "Format", "detect", "format_of"]

_COMMON = '{peer} {} {user} [{local}] "{request}" {status} {}'
_COMBINED = named_format("combined", _COMMON)
_TRAEFIK = named_format("traefik", _COMMON, RAW)
#: https://www.uvicorn.org/settings/#logging: a level, the address, and no time.
_UVICORN = LineFormat(
    "uvicorn",
    "^(?:.*? )?(?P<address>[^ ]*) - "
    '"(?:WebSocket (?P<socket>[^ ]*)|(?P<method>[^ ]+) (?P<target>[^ ]*) HTTP/[0-9.]+)" '
    r"(?:(?P<status>[0-9]{3})(?: |$)|\[accepted\])",
    writing=RAW,
    coloured=True,
)


@dataclass(frozen=True)
class _Traefik:
    """Traefik's format: JSON or lines, as its option ``format`` says."""

    json: Format
    name: str = "traefik"

    def begin(self, block: bytes) -> Format:
        """Return the one that the log has."""
        return self.json if block.lstrip().startswith(b"{") else _TRAEFIK

    def parse(self, block: bytes, *, in_order: bool = True) -> tuple[pl.DataFrame, int]:
        """Return the requests in a block, and how many lines are none."""
        return self.begin(block).parse(block, in_order=in_order)


_FORMATS: dict[str, Callable[[str], Format]] = {
    "combined": lambda header: _COMBINED,
    "common": lambda header: named_format("common", _COMMON),
    "nginx": lambda header: named_format("nginx", _COMMON),
    "apache": lambda header: named_format("apache", _COMMON),
    "caddy": caddy_format,
    "traefik": lambda header: _Traefik(traefik_format(header)),
    "alb": lambda header: ALB,
    "cloudfront": lambda header: CloudFrontFormat(),
    "uvicorn": lambda header: _UVICORN,
    "gunicorn": lambda header: named_format("gunicorn", _COMMON, GUNICORN),
    "events": lambda header: EVENTS_FORMAT,
}
#: What ``--format`` knows by name.
NAMES = tuple(_FORMATS)
_SAMPLE_LINES = 100


def format_of(text: str, header: str = "X-Forwarded-For") -> Format:
    """Return the format of that name, or a ``log_format`` of nginx or ``LogFormat`` of Apache.

    ``header`` is the forwarding header whose value is wanted, where a log has several.

    Raises:
        ConfigurationError: if it is neither, or tells no address.
    """
    if text in _FORMATS:
        return _FORMATS[text](header)
    if "$" in text:
        return nginx_format(text, header)
    if "%" in text:
        return apache_format(text, header)
    raise ConfigurationError(
        f"log format {text!r}: is no name that is known ({', '.join(NAMES)}), and no own format "
        "of nginx (with $remote_addr) or Apache (with %h)"
    )


def detect(block: bytes, header: str = "X-Forwarded-For") -> Format:
    """Return the format that the lines at a log's beginning have.

    Raises:
        ConfigurationError: if none reads them.
    """
    lines = [line for line in block.split(b"\n", _SAMPLE_LINES)[:_SAMPLE_LINES] if line.strip()]
    if lines and lines[0].startswith((b"#Version:", b"#Fields:")):
        return format_of("cloudfront").begin(block)
    sample = b"\n".join([*lines, b""])
    best = max(_candidates(lines, header), key=lambda known: known.parse(sample)[0].height)
    if best.parse(sample)[0].height:
        return best
    first = lines[0][:120].decode("utf-8", "backslashreplace") if lines else ""
    raise ConfigurationError(
        f"the log's format is not known from its first lines, such as {first!r}; name it with "
        f"--format: {', '.join(NAMES)}, or the log_format of nginx or LogFormat of Apache that "
        "it was written with"
    )


def _candidates(lines: Sequence[bytes], header: str) -> list[Format]:
    """Return the formats that lines may have, the likeliest first."""
    if any(line.lstrip().startswith(b"{") for line in lines):
        return [EVENTS_FORMAT, caddy_format(header), traefik_format(header)]
    if any(_VHOST_BEGIN.match(line) for line in lines):
        return [apache_format(_VHOST, header)]
    # Traefik's lines are combined ones with more behind them.
    common = _TRAEFIK if any(_TRAEFIK_END.search(line) for line in lines) else _COMBINED
    return [common, ALB, _UVICORN]


# Apache's vhost_combined, as Debian's other_vhosts_access.log has it. Read as combined, its hosts
# would be taken for the addresses.
_VHOST = '%v:%p %h %l %u %t "%r" %>s %O'
_VHOST_BEGIN = re.compile(rb"^[^ ]+:[0-9]+ (?=[^ ]*[.:])[^ ]+ [^ ]+ [^ ].* \[")
_TRAEFIK_END = re.compile(rb'" [0-9]+ "[^"]*" "[^"]*" [0-9]+ms\r?$')
