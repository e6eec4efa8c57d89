"""Providers' feeds by the name of their format, and which format a file has."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from georestrict._core import Columns
from georestrict.errors import FormatError
from georestrict.sources import (
    aws,
    azure,
    cloudflare,
    fastly,
    geofeed,
    github,
    google,
    networks,
    oracle,
    tor_exits,
)
from georestrict.sources.document import Node, load
from georestrict.sources.entry import ALL, Entry, Selection, rows, shown
from georestrict.sources.networks import NetworkList, Remark
from georestrict.sources.row import Row

# In the order in which a document is tried: AWS has "prefixes", too.
_SHAPES = {
    "aws": aws.SHAPE,
    "google": google.SHAPE,
    "azure": azure.SHAPE,
    "oracle": oracle.SHAPE,
    "cloudflare": cloudflare.SHAPE,
    "fastly": fastly.SHAPE,
    "github": github.SHAPE,
}

# How files begin that are no text, what they are, and what to do.
_NO_TEXT = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
)

#: The formats of feeds, each with the fields by which its entries can be selected.
FIELDS: dict[str, tuple[str, ...]] = {
    **{form: shape.fields for form, shape in _SHAPES.items()},
    "geofeed": geofeed.FIELDS,
    "tor-exits": (),
}


def read(
    form: str, data: bytes, name: str, layer: str = "", selection: Selection = ALL
) -> Iterator[Row]:
    """Yield the rows of a feed. Where the format has no lines, a row's line is its number.

    Raises:
        FormatError: naming the line, or the place in the document.
        ConfigurationError: if the selection takes nothing.
    """
    yield from rows(_entries(form, data, name, layer), selection, name)


def detect(data: bytes, name: str = "the file") -> str:
    """Return the format of a file of networks: a feed's, or ``networks``, plain text.

    Raises:
        FormatError: if it is no text, or JSON that cannot be read or is no provider's.
    """
    return _detect(data, name)[0]


def parse_list(data: bytes, name: str, at: float | None = None) -> NetworkList:
    """Return the networks of a file in any of these formats, without those that ended before.

    Raises:
        FormatError: naming the line, or the place in the document.
    """
    form, document = _detect(data, name)
    if form == "networks":
        return networks.parse(data, name, at)
    entries = _SHAPES[form].entries(document) if document else _entries(form, data, name, "")
    found = NetworkList(Columns.empty(), Columns.empty())
    for version, first, last, _, line in rows(entries, ALL, name):
        columns = found.ipv4 if version == 4 else found.ipv6
        columns.append_native(version, first, last, 1, line)
    return found


def remarks(data: bytes, name: str, lines: Collection[int]) -> dict[int, Remark]:
    """Return what a list that was parsed says of the entries in some lines.

    A feed's fields are told as a selection would name them: ``service=EC2; region=eu-west-1``.
    """
    form, document = _detect(data, name)
    if form == "networks":
        return networks.remarks(data, lines)
    entries = _SHAPES[form].entries(document) if document else _entries(form, data, name, "")
    found = {}
    for number, entry in enumerate(entries, 1):
        line = entry.line or number
        if line in lines:
            fields = ((field, ",".join(filter(None, said))) for field, said in entry.fields.items())
            told = "; ".join(f"{field}={said}" for field, said in fields if said)
            found[line] = Remark(networks.cut(told))
    return found


def _entries(form: str, data: bytes, name: str, layer: str) -> Iterator[Entry]:
    if form == "geofeed":
        return geofeed.entries(data, name, layer)
    if form == "tor-exits":
        return tor_exits.entries(data, name)
    return _SHAPES[form].entries(load(data, name))


def _detect(data: bytes, name: str) -> tuple[str, Node | None]:
    """Return the format, and the document if it is JSON: it is read once only."""
    for mark, what, fix in _NO_TEXT:
        if data.startswith(mark):
            raise FormatError(f"{name}: {what}, not a list of networks; {fix}")
    first = first_line(data)
    if first[:1] == b"<":
        raise FormatError(
            f"{name}: HTML or XML, perhaps a page that reports an error, not a list of networks; "
            "fetch the file again"
        )
    if first[:1] in (b"{", b"["):
        document = load(data, name)
        for form, shape in _SHAPES.items():
            if shape.fits(document):
                return form, document
        keys = f"the keys {shown([*document.value])}" if isinstance(document.value, dict) else ""
        raise FormatError(
            f"{name}: JSON, but no provider's that is known: it has {keys or 'no keys'}; expected "
            f"the file of one of {', '.join(_SHAPES)}, or plain text with one network a line"
        )
    if first.split(b" ", 1)[0].decode("latin-1") in tor_exits.KEYWORDS:
        return "tor-exits", None
    return ("geofeed" if b"," in first else "networks"), None


def first_line(data: bytes) -> bytes:
    """Return the first line that says something, without a comment."""
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end].partition(b"#")[0].partition(b";")[0].strip()
        if line:
            return line
        at = end + 1
    return b""
