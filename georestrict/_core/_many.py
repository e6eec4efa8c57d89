"""Looking up many addresses at once, in plain Python. The twin of ``many.pxi``.

An answer is a place: the class id, plus as many times the number of classes as
:data:`georestrict.special.LOOKED_THROUGH` counts to the network that the address was looked through
in (0: it was not); for what is no address, four times that number.

Addresses come as

* an iterable of ``str``;
* a buffer (PEP 3118; a NumPy array is one): text of fixed width (``S``, ``U``), ``uint32`` as IPv4
  addresses in host order, or rows of 4 or 16 ``uint8``, packed in network order;
* an Arrow array or stream of arrays (the Arrow PyCapsule interface; a column of pyarrow, Polars,
  pandas, DuckDB …): text, dictionary-encoded or not, ``uint32``, or binary of 4 or 16 bytes a
  value. Null is no address.

The compiled core reads all of them in place and gives the interpreter's lock up meanwhile.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

from georestrict._core._text import parse_address
from georestrict._core._trie import Table, embedded_ipv4

CARRIES, PRIVATE = 1, 2  # marks of classes: its addresses may carry another; not reachable
VIAS = 4
TEXT_BYTES, TEXT_WIDE, NUMBERS, PACKED = range(4)  # forms of what a buffer holds

_FORMAT = re.compile("[@=<>|!]?([0-9]*)([a-zA-Z?])")
_FOREIGN = ">!" if sys.byteorder == "little" else "<"
_MAPPED = 0xFFFF
#: How pyarrow, Polars and pandas write the types that can be looked up.
_ARROW_TYPE = re.compile(
    r"(large_|long_)?(string|str|utf8)(_view)?\b|categorical|enum|null\b|uint32\b"
    r"|fixed_size_binary\[(4|16)\]|dictionary<values=(large_)?string"
)


def find_many(table: Table, marks: bytes, addresses: Any) -> array[int]:
    """Return the place of each address's answer; see above.

    Raises:
        TypeError: if an item or the form of a buffer is not one of these.
    """
    if len(marks) != table.classes:
        raise ValueError("there must be one mark for each class")
    found = array("I")
    for parsed in _numbers(addresses):
        found.append(VIAS * table.classes if parsed is None else _place(table, marks, *parsed))
    return found


def _place(table: Table, marks: bytes, version: int, value: int) -> int:
    outer = table.find_value(version, value)
    carried = embedded_ipv4(value) if version == 6 and marks[outer] & CARRIES else None
    inner = outer if carried is None else table.find_value(4, carried)
    if carried is None or marks[inner] & PRIVATE:
        return outer
    via = 1 if value >> 112 == 0x2002 else 2 if value >> 96 == 0x20010000 else 3
    return inner + via * table.classes


def _numbers(addresses: Any) -> Iterator[tuple[int, int] | None]:
    """Yield ``(version, value)`` of each address; None for what is none."""
    if hasattr(addresses, "__arrow_c_stream__") or hasattr(addresses, "__arrow_c_array__"):
        yield from map(_arrow_number, _arrow_values(addresses))
        return
    form = buffer_form(addresses)
    if form is None:
        for at, address in enumerate(sequence(addresses)):
            if not isinstance(address, str):
                raise TypeError(f"address {at} is {type(address).__name__}, must be str")
            yield parse_address(address)
        return
    view, count, kind, width = form
    data = bytes(view)
    for at in range(0, count * width, width):
        item = data[at : at + width]
        if kind == NUMBERS:
            yield 4, int.from_bytes(item, sys.byteorder)
        elif kind == PACKED:
            yield _unpacked(item)
        elif kind == TEXT_BYTES:
            yield parse_address(item.rstrip(b"\0").decode("latin-1"))
        else:
            text = item.decode(f"utf-32-{sys.byteorder[0]}e", "replace")
            yield parse_address(text.rstrip("\0"))


def sequence(addresses: Any) -> tuple[Any, ...]:
    """Return the items of an iterable that is not text itself."""
    if isinstance(addresses, str | bytes | bytearray) or not isinstance(addresses, Iterable):
        raise TypeError(
            f"addresses are {type(addresses).__name__}, must be an iterable of str, an array of "
            "text or numbers, or an Arrow column"
        )
    return tuple(addresses)


def buffer_form(addresses: Any) -> tuple[Any, int, int, int] | None:
    """Return a buffer, how many items it has, their form, and their width in bytes.

    None if it is no buffer, or one of objects.
    """
    if isinstance(addresses, bytes | bytearray):
        return None
    try:
        view = memoryview(addresses)
    except (TypeError, ValueError):  # ValueError: what NumPy cannot export; it may be a sequence
        return None
    match = _FORMAT.fullmatch(view.format)
    letter = match[2] if match else ""
    if letter == "O":
        return None
    if view.format[0] in _FOREIGN and letter != "s":
        raise TypeError(f"a buffer of {view.format!r} is in foreign byte order; convert it first")
    kind = None
    shape = view.shape or ()
    if view.ndim == 1:
        kind = {"s": TEXT_BYTES, "w": TEXT_WIDE}.get(letter)
        if view.itemsize == 4 and letter in ("I", "L") and match and not match[1]:
            kind = NUMBERS
    elif view.ndim == 2 and letter == "B" and shape[1] in (4, 16):
        kind = PACKED
    if kind is None:
        raise TypeError(
            f"a buffer of {view.format!r} with {view.ndim} dimensions; text of fixed width, "
            "uint32 (IPv4), and rows of 4 or 16 uint8 can be looked up"
        )
    width = shape[1] if kind == PACKED else view.itemsize
    return (view if view.c_contiguous else view.tobytes()), shape[0], kind, width


def _arrow_values(addresses: Any) -> Iterable[Any]:
    """Return the values of an Arrow column as its library turns them into Python's."""
    kind = str(getattr(addresses, "type", None) or getattr(addresses, "dtype", None)).lower()
    if _ARROW_TYPE.match(kind) is None:
        raise TypeError(
            f"an Arrow column of {kind}; text, uint32 (IPv4), "
            "and binary of 4 or 16 bytes a value can be looked up"
        )
    for name in ("to_pylist", "to_list"):
        if hasattr(addresses, name):
            values: Iterable[Any] = getattr(addresses, name)()
            return values
    return list(addresses)


def _arrow_number(value: Any) -> tuple[int, int] | None:
    if isinstance(value, str):
        return parse_address(value)
    if isinstance(value, int):
        return 4, value
    return None if value is None else _unpacked(value)


def _unpacked(packed: bytes) -> tuple[int, int]:
    value = int.from_bytes(packed)
    if len(packed) == 4 or value >> 32 == _MAPPED:
        return 4, value & 0xFFFFFFFF
    return 6, value
