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
    BY_PEER = 0
    BY_CHAIN = 1
    BY_SINGLE = 2
    SAMPLES = 64
    SOON = 8
    LATER = 1024


cdef class Way:
    """How a strategy finds the client, for the gate. See the twin."""

    cdef readonly int kind
    cdef readonly bytes header
    cdef readonly int grammar
    cdef readonly Trusted trusted
    cdef readonly int count
    cdef readonly bint over_unix
    cdef str variable

    def __cinit__(self, int kind, bytes header not None=b"", int grammar=LIST, Trusted trusted=None, int count=0, bint over_unix=False):
        if kind not in (BY_PEER, BY_CHAIN, BY_SINGLE):
            raise ValueError(f"there is no way {kind}")
        self.kind = kind
        self.header = header.lower()
        self.grammar = grammar
        self.trusted = trusted
        self.count = count
        self.over_unix = over_unix
        self.variable = "HTTP_" + self.header.decode("ascii").upper().replace("-", "_")


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
    cdef Way way
    cdef uint32_t samples
    cdef uint32_t until_sample

    def open_gate(self, app, slow, Current current not None, bint annotate, Way way):
        """Set everything that a request needs; until then, and without a way, all goes slow."""
        self.app = app
        self.slow = slow
        self.current = current
        self.annotate_ = annotate
        self.way = way
        self.samples = SAMPLES
        self.until_sample = SOON

    cdef inline bint is_sample(self) noexcept:
        """Is this request one of those that go the slow way to be looked at?"""
        self.until_sample -= 1
        if self.until_sample:
            return False
        if self.samples:
            self.samples -= 1
        self.until_sample = SOON if self.samples else LATER
        return True

    cdef Tally admit(self, object host, object request):
        """The tally of the plain allow for a request by its peer; None to go the slow way."""
        cdef uint64_t high = 0, low = 0
        cdef uint32_t number
        cdef uint8_t mark
        cdef int version = 0
        cdef Way way = self.way
        if _is_text(host):
            version = _parse(_text_of(host), PyUnicode_GET_LENGTH(host), &high, &low)
        if way.kind != BY_PEER:
            if way.trusted is not None:
                if host is None:
                    if not way.over_unix or not self.is_unix(request):
                        return None
                elif version == 0 or not way.trusted.has(version, high, low):
                    return None
            high = 0
            version = self.forwarded(request, &high, &low)
        if version <= 0:
            return None
        passes = self.current.held
        if version == 4:
            number = passes.table.find_ipv4(<uint32_t>low)
        else:
            number = passes.table.find_ipv6(high, low)
        mark = passes.marks[number]
        if mark == MARK_PLAIN or (mark == MARK_PLAIN_PRIVATE and way.kind != BY_PEER):
            return <Tally>PyTuple_GET_ITEM(passes.tallies, number)
        if mark == MARK_BY_PATH:
            return self.by_path(passes, number, request)
        return None

    cdef int forwarded(self, object request, uint64_t *high, uint64_t *low) except? -100:
        """Read the client from the one header of the way; 0 or less if anything is not plain."""
        return 0

    cdef inline int read(self, const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
        if length > MOST_BYTES:
            return 0
        if self.way.kind == BY_SINGLE:
            return _parse_hop(text, length, high, low)
        return _find_client(text, length, True, self.way.grammar, self.way.trusted, self.way.count, high, low)

    cdef bint is_unix(self, object request):
        """Does a request without a peer come over a unix socket?"""
        return False

    cdef Tally by_path(self, Passes passes, uint32_t number, object request):
        """The plain allow for a path that was seen before, sent just as the app sees it; or None."""
        return None


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
