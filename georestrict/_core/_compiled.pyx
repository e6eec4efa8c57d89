# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, always_allow_keywords=False, binding=False
"""The compiled core: parsing, painting and the radix trie.

One extension module, so that the C compiler sees the whole path of a lookup and inlines it; one
file a subject. Each has a twin in plain Python beside it (``_text.py``, ``_paint.py``,
``_trie.py``), which tells the rules, answers the same and serves where nothing was compiled.
"""

from array import array

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from georestrict._core._many import buffer_form, sequence
from georestrict._core._paint import Runs
from georestrict._core._text import Columns

cdef extern from "Python.h":
    bint PyUnicode_Check(object text) noexcept
    bint PyUnicode_CheckExact(object text) noexcept
    object PyUnicode_FromObject(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept nogil
    void *PyUnicode_1BYTE_DATA(object text) noexcept nogil
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept nogil


cdef object _zeros_of(str code, Py_ssize_t count):
    """An array of zeros; what fills it does so without the GIL."""
    return array(code, [0]) * count


include "text.pxi"
include "paint.pxi"
include "trie.pxi"
include "grow.pxi"
include "chain.pxi"
include "gate.pxi"
include "asgi_gate.pxi"
include "wsgi_gate.pxi"
include "many.pxi"
include "pack.pxi"
include "tree.pxi"
