# The gate: the way of a plainly allowed request. The twin of _gate.py, where it is told.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef enum:
    MARK_SLOW = 0
    MARK_PLAIN = 1
    MARK_PLAIN_PRIVATE = 2
    MARK_BY_PATH = 3
    NO_WAY = 0
    BY_PEER = 1
    BY_FORWARDED_FOR = 2
    MOST_ENTRIES = 64
    MOST_BYTES = 8192


cdef struct Span_:
    int version
    uint64_t first_high
    uint64_t first_low
    uint64_t last_high
    uint64_t last_low


cdef class Tally:
    """A decision, and how many requests got it. See the twin."""

    cdef readonly object decision
    cdef readonly uint64_t count

    def __cinit__(self, decision):
        self.decision = decision

    def add(self):
        """Count one request."""
        self.count += 1


cdef class Passes:
    """What the gate needs of a snapshot: a mark and a tally for each class. See the twin."""

    cdef Table table
    cdef bytes held_marks
    cdef const uint8_t *marks
    cdef tuple tallies
    cdef tuple by_path
    cdef dict routes

    def __cinit__(self, Table table not None, bytes marks not None, tallies, by_path, dict routes not None):
        self.tallies = tuple(tallies)
        self.by_path = tuple(by_path)
        if not (len(marks) == len(self.tallies) == len(self.by_path) == table.classes):
            raise ValueError("there must be one mark and one tally for each class")
        for mark, tally in zip(marks, self.tallies):
            if mark in (MARK_PLAIN, MARK_PLAIN_PRIVATE) and type(tally) is not Tally:
                raise TypeError("what is let through has a tally")
        for known in self.by_path:
            if known is not None and not PyList_CheckExact(known):
                raise TypeError("what is known by path is a list for each class, or None")
        self.table = table
        self.held_marks = marks
        self.marks = self.held_marks
        self.routes = routes


cdef class Current:
    """The passes in force: replaced as one, read once a request."""

    cdef Passes held

    def __cinit__(self, Passes passes not None):
        self.held = passes

    @property
    def passes(self):
        return self.held

    @passes.setter
    def passes(self, Passes passes not None):
        self.held = passes


cdef class Gate:
    """What both gates share: how the client is found, and what its class is let through with."""

    cdef object app
    cdef object slow
    cdef Current current
    cdef bint annotate_
    cdef int way
    cdef Span_ *trusted
    cdef Py_ssize_t trusted_count

    def __dealloc__(self):
        free(self.trusted)

    def open_gate(self, app, slow, Current current not None, bint annotate, int way, trusted):
        """Set everything that a request needs; until then, and with ``NO_WAY``, all goes slow."""
        cdef tuple given = tuple(trusted)
        cdef Py_ssize_t i
        cdef Span_ *spans
        if way not in (NO_WAY, BY_PEER, BY_FORWARDED_FOR):
            raise ValueError(f"there is no way {way}")
        spans = <Span_ *>calloc(len(given) + 1, sizeof(Span_))
        if spans == NULL:
            raise MemoryError
        try:
            for i in range(len(given)):
                version, first, last = given[i]
                spans[i].version = version
                spans[i].first_high = first >> 64
                spans[i].first_low = first & 0xFFFFFFFFFFFFFFFF
                spans[i].last_high = last >> 64
                spans[i].last_low = last & 0xFFFFFFFFFFFFFFFF
        except BaseException:
            free(spans)
            raise
        free(self.trusted)
        self.trusted = spans
        self.trusted_count = len(given)
        self.app = app
        self.slow = slow
        self.current = current
        self.annotate_ = annotate
        self.way = way

    cdef Tally admit(self, const unsigned char *host, Py_ssize_t length, object request):
        """The tally of the plain allow for a request by its peer; None to go the slow way."""
        cdef uint64_t high = 0, low = 0
        cdef uint32_t number
        cdef uint8_t mark
        cdef int version = _parse(host, length, &high, &low)
        if self.way == BY_FORWARDED_FOR and version:
            if not self.is_trusted(version, high, low):
                return None
            version = self.forwarded(request, &high, &low)
        if version == 0:
            return None
        passes = self.current.held
        if version == 4:
            number = passes.table.find_ipv4(<uint32_t>low)
        else:
            number = passes.table.find_ipv6(high, low)
        mark = passes.marks[number]
        if mark == MARK_PLAIN or (mark == MARK_PLAIN_PRIVATE and self.way == BY_FORWARDED_FOR):
            return <Tally>PyTuple_GET_ITEM(passes.tallies, number)
        if mark == MARK_BY_PATH:
            return self.by_path(passes, number, request)
        return None

    cdef int forwarded(self, object request, uint64_t *high, uint64_t *low) except -1:
        """Read the right-most untrusted entry of a request's chain; 0 if anything is not plain."""
        return 0

    cdef Tally by_path(self, Passes passes, uint32_t number, object request):
        """The plain allow for a path that was seen before, sent just as the app sees it; or None."""
        return None

    cdef int walk(self, const unsigned char *text, Py_ssize_t end, uint64_t *high, uint64_t *low) noexcept nogil:
        """Walk a chain from the right, past trusted hops."""
        cdef Py_ssize_t start, first, last
        cdef int version, entries = 0
        while entries < MOST_ENTRIES:
            entries += 1
            start = end
            while start and text[start - 1] != 44:
                start -= 1
            first = start
            last = end
            while first < last and _is_space(text[first]):
                first += 1
            while last > first and _is_space(text[last - 1]):
                last -= 1
            high[0] = 0
            version = _parse(text + first, last - first, high, low)
            if version == 0 or not self.is_trusted(version, high[0], low[0]):
                return version
            if start == 0:
                return 0
            end = start - 1
        return 0

    cdef inline bint is_trusted(self, int version, uint64_t high, uint64_t low) noexcept nogil:
        cdef Py_ssize_t i
        cdef Span_ *span
        if version == 4:
            high = 0
        for i in range(self.trusted_count):
            span = &self.trusted[i]
            if (
                span.version == version
                and not _before(high, low, span.first_high, span.first_low)
                and not _before(span.last_high, span.last_low, high, low)
            ):
                return True
        return False


cdef inline Tally _known(Passes passes, uint32_t number, object path):
    """The tally that the slow way remembered for a class and a path; or None."""
    cdef PyObject *route = PyDict_GetItem(passes.routes, path)
    cdef Py_ssize_t place
    if route == NULL:
        return None
    known = <object>PyTuple_GET_ITEM(passes.by_path, number)
    place = <object>route
    if known is None or place < 0 or place >= PyList_GET_SIZE(known):
        return None
    tally = <object>PyList_GET_ITEM(known, place)
    return <Tally>tally if type(tally) is Tally else None


cdef inline object _item(object request, object key):
    """An item of a dictionary, owned: whatever runs meanwhile cannot take it away."""
    cdef PyObject *found = PyDict_GetItem(request, key)
    return None if found == NULL else <object>found


cdef inline bint _is_text(object text) noexcept:
    return PyUnicode_CheckExact(text) and PyUnicode_IS_COMPACT_ASCII(text)


cdef inline const unsigned char *_text_of(object text) noexcept:
    return <const unsigned char *>PyUnicode_1BYTE_DATA(text)
