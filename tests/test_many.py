"""Many addresses at once: the same answers as one by one, from whatever holds them."""

from __future__ import annotations

import subprocess
import sys
import threading
from ipaddress import ip_address
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from georestrict import Database, Location, Locations, Status
from georestrict.testing import tiny_database

TINY = tiny_database(
    {"81.2.69.0/24": "GB", "175.16.199.0/24": "CN", "2001:218::/32": "JP", "2a02:1::/32": "SE"},
    {"81.2.69.200/32": "tor:high:Tor"},
)
ADDRESSES = [
    "81.2.69.142", "175.16.199.1", "81.2.69.200", "2001:218::1", "10.0.0.1", "9.9.9.9", "2002:af10:c701::1",
    "2001:0:5102:458e:0:0:50ef:38fe", "64:ff9b::5102:458e", "64:ff9b::a00:1", "2002:a00:1::", "::ffff:175.16.199.1",
    "fe80::1", "2a02:1::7", "255.255.255.255", "0.0.0.0", "::", "2a02:0001:0000:0000:0000:0000:0000:0007",
]  # fmt: skip
JUNK = [
    "",
    "junk",
    "81.2.69",
    "81.2.69.142:80",
    "81.2.69.142 ",
    "８１.2.69.142",
    "1" * 70,
    "é",
    "081.2.69.142",
]
EVERY = [*ADDRESSES, *JUNK]
IPV4 = [address for address in ADDRESSES if ":" not in address]
PACKED = b"".join(ip_address(address).packed for address in ADDRESSES if ":" in address)
UNRESOLVED = Location(status=Status.UNRESOLVED)


class Text(str):
    """A subclass keeps its text elsewhere."""


def alike(given: Any, expected: list[str | None], database: Database = TINY) -> None:
    found = database.lookup_many(given)
    assert list(found) == [
        UNRESOLVED if address is None else database.lookup(address) for address in expected
    ]


FORMS = {
    "list": lambda texts: texts,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "subclasses": lambda texts: [Text(text) for text in texts],
    "numpy text": np.array,
    "numpy objects": lambda texts: np.array(texts, object),
    "every other one": lambda texts: np.array([text for text in texts for _ in range(2)])[::2],
    "arrow text": pa.array,
    "arrow large text": lambda texts: pa.array(texts, pa.large_string()),
    "arrow views": lambda texts: pa.array(texts, pa.string_view()),
    "arrow dictionary": lambda texts: pa.array(texts * 3).dictionary_encode().slice(len(texts), len(texts)),
    "arrow small dictionary": lambda texts: pa.DictionaryArray.from_arrays(
        pa.array(range(len(texts)), pa.uint8()), pa.array(texts)
    ),
    "arrow slice": lambda texts: pa.array(["x", *texts, "y"]).slice(1, len(texts)),
    "arrow chunks": lambda texts: pa.chunked_array([texts[:4], [], texts[4:]], pa.string()),
    "polars": pl.Series,
    "polars categories": lambda texts: pl.Series(texts, dtype=pl.Categorical),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_text_in_any_form_gets_the_answers_of_one_by_one(form: Any) -> None:
    alike(form(EVERY), list(EVERY))
    alike(form(EVERY[:1]), list(EVERY[:1]))


def test_text_of_fixed_width_in_bytes() -> None:
    ascii_only = [address for address in EVERY if address.isascii()]
    alike(np.array([address.encode() for address in ascii_only]), list(ascii_only))


def test_the_default_data_too() -> None:
    alike(EVERY, list(EVERY), Database.open())


@pytest.mark.parametrize(
    "column",
    [np.array, pa.array, lambda numbers: pl.Series(numbers, dtype=pl.UInt32), lambda numbers: memoryview(numbers)],
    ids=["numpy", "arrow", "polars", "memoryview"],
)  # fmt: skip
def test_ipv4_addresses_as_numbers(column: Any) -> None:
    numbers = np.array([int(ip_address(address)) for address in IPV4], np.uint32)
    alike(column(numbers), list(IPV4))


def test_packed_addresses() -> None:
    ipv6 = [address for address in ADDRESSES if ":" in address]
    rows = np.frombuffer(PACKED, np.uint8).reshape(-1, 16)
    alike(rows, list(ipv6))
    alike(rows[::-1], list(ipv6[::-1]))
    alike(pa.array([bytes(row) for row in rows], pa.binary(16)), list(ipv6))
    four = np.array([list(ip_address(address).packed) for address in IPV4], np.uint8)
    alike(four, list(IPV4))
    alike(pa.array([bytes(row) for row in four], pa.binary(4)), list(IPV4))


@pytest.mark.parametrize(
    "form",
    [
        pa.array,
        lambda texts: pa.array(texts, pa.string_view()),
        lambda texts: pa.array(texts).dictionary_encode(),
        pl.Series,
        lambda texts: pa.chunked_array([texts[:1], texts[1:]], pa.string()),
        lambda texts: pa.array(["x", *texts]).slice(1),
    ],
    ids=["text", "views", "dictionary", "polars", "chunks", "slice"],
)
def test_null_is_no_address(form: Any) -> None:
    texts = [None, "81.2.69.142", None, "2001:218::1", *["175.16.199.1"] * 9, None]
    alike(form(texts), texts)


@pytest.mark.parametrize(
    "empty",
    [[], np.array([], "U1"), pa.array([], pa.string()), pl.Series([], dtype=pl.String), pa.chunked_array([], pa.string()),
     pa.array([], pa.string()).dictionary_encode(), pa.array([None], pa.string()).dictionary_encode().slice(1)],
    ids=["list", "numpy", "arrow", "polars", "no chunks", "dictionary", "slice"],
)  # fmt: skip
def test_nothing_gives_nothing(empty: Any) -> None:
    assert len(TINY.lookup_many(empty)) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("81.2.69.142", "str, must be an iterable of str"),
        (b"81.2.69.142", "bytes, must be"),
        (7, "int, must be"),
        (None, "NoneType, must be"),
        (["81.2.69.142", None], "address 1 is NoneType, must be str"),
        ([b"81.2.69.142"], "address 0 is bytes"),
        ([ip_address("81.2.69.142")], "address 0 is IPv4Address"),
        (np.array([1.5]), "buffer of 'd'"),
        (np.array([1, 2], np.int64), "buffer of 'l'"),
        (np.zeros((2, 8), np.uint8), "2 dimensions"),
        (np.zeros((), np.uint32), "0 dimensions"),
        (np.array([1], ">u4"), "foreign byte order"),
        (np.array(["81.2.69.142"], ">U15"), "foreign byte order"),
        (pa.array([1.5]), "Arrow column of"),
        (pl.Series([["81.2.69.142"]]), "Arrow column of"),
        (pa.array([b"123"], pa.binary(3)), "Arrow column of"),
        (pa.array([b"1234"]), "Arrow column of"),
        (pa.array([134744072], pa.int64()), "Arrow column of"),
        (pl.Series([b"1234"]), "Arrow column of"),
        (pa.array([[1]]), "Arrow column of"),
        (np.zeros(3, "M8[s]"), "address 0 is datetime64"),
    ],
)
def test_anything_else_is_refused_by_name(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        TINY.lookup_many(wrong)


@pytest.mark.parametrize(
    "nulls", [pa.nulls(3), pl.Series([None, None, None])], ids=["arrow", "polars"]
)
def test_a_column_of_nulls_only(nulls: Any) -> None:
    alike(nulls, [None, None, None])


def test_text_of_numpys_variable_width() -> None:
    alike(np.array(EVERY, np.dtypes.StringDType()), list(EVERY))


@pytest.mark.compiled
@pytest.mark.parametrize(
    "column", [pa.array(["8.8.8.8"]), pa.chunked_array([["8.8.8.8"]])], ids=["array", "stream"]
)
def test_what_was_consumed_already_is_refused(column: Any) -> None:
    name = "__arrow_c_array__" if isinstance(column, pa.Array) else "__arrow_c_stream__"
    handed_out = getattr(column, name)()

    class Holder:
        def __getattr__(self, asked: str) -> Any:
            if asked == name:
                return lambda: handed_out
            raise AttributeError(asked)

    if isinstance(column, pa.Array):
        pa.Array._import_from_c_capsule(*handed_out)
    else:
        pa.ChunkedArray._import_from_c_capsule(handed_out)
    with pytest.raises(ValueError, match="consumed already"):
        TINY.lookup_many(Holder())


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from georestrict import Database

PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * PAGE)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
for page in (0, 2):  # whoever reads there dies
    assert libc.mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, 0) == 0
database = Database.open()
for text in sys.argv[1:]:
    for width in range(len(text), 64):
        for place in (*range(PAGE, PAGE + 8), *range(2 * PAGE - width - 8, 2 * PAGE - width + 1)):
            ctypes.memmove(start + place, text.encode().ljust(width, b"\\0"), width)
            buffer = (ctypes.c_char * width).from_address(start + place)
            found = database.lookup_many(np.frombuffer(buffer, f"S{width}"))
            assert found[0] == database.lookup(text), (text, width, place)
print("alive")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect as Linux has it")
def test_text_is_never_read_beyond_its_memory_page() -> None:
    texts = [
        "8.8.8.8",
        "255.255.255.255",
        "1::",
        "::1",
        "2001:218:0:1:2:3:4:5",
        "::ffff:175.16.199.1",
        "junk",
        "1.2.3.",
    ]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *texts], capture_output=True, text=True, check=False
    )
    assert done.stdout == "alive\n", (done.returncode, done.stderr)


@given(st.lists(st.ip_addresses().map(str) | st.sampled_from(EVERY) | st.text(max_size=20)))
def test_whatever_the_text(texts: list[str]) -> None:
    alike(texts, list(texts))
    alike(pa.array(texts, pa.string()), list(texts))


def test_the_answers_are_a_dictionary_encoded_column() -> None:
    found = TINY.lookup_many(ADDRESSES * 2)
    indices = np.asarray(found.indices)
    assert indices.dtype == np.uint32
    assert not indices.flags.writeable
    countries = pl.Series([location.country for location in found.values])
    assert countries.gather(indices).to_list() == [TINY.country(each) for each in ADDRESSES * 2]
    assert isinstance(found[2:4], Locations)
    assert list(found[2:4]) == [found[2], found[3]]
    assert found[-1] == found[len(ADDRESSES) - 1]
    assert repr(found) == "Locations(36 addresses)"


@pytest.mark.compiled
@pytest.mark.parametrize(
    "addresses",
    [np.zeros(4_000_000, np.uint32), pa.array(["81.2.69.142"] * 2_000_000), ["81.2.69.142"] * 2_000_000],
    ids=["numpy", "arrow", "list"],
)  # fmt: skip
def test_the_interpreters_lock_is_given_up_meanwhile(addresses: Any) -> None:
    """With this interval a thread only gets the lock when the other gives it up by itself."""
    began, done = threading.Event(), False

    def look() -> None:
        nonlocal done
        began.set()
        TINY.lookup_many(addresses)
        done = True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        thread = threading.Thread(target=look)
        thread.start()
        began.wait()
        while not done and TINY.country("81.2.69.142") != "GB":
            pass
        assert not done
    finally:
        sys.setswitchinterval(interval)
        thread.join()
