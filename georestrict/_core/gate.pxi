# The gate: the way of a plainly allowed ASGI request. The twin of _gate.py, where it is told.

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


cdef class Passes:
    """What the gate needs of a snapshot: a mark and a decision for each class. See the twin."""

    cdef Table table
    cdef bytes held_marks
    cdef const uint8_t *marks
    cdef tuple decisions
    cdef tuple by_path
    cdef dict routes

    def __cinit__(self, Table table not None, bytes marks not None, decisions, by_path, dict routes not None):
        self.decisions = tuple(decisions)
        self.by_path = tuple(by_path)
        if not (len(marks) == len(self.decisions) == len(self.by_path) == table.classes):
            raise ValueError("there must be one mark and one decision for each class")
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


cdef inline object _pair_item(PyObject *pair, Py_ssize_t at, Py_ssize_t least):
    """An item of a tuple or list of at least so many items, or None."""
    if PyTuple_CheckExact(<object>pair):
        if PyTuple_GET_SIZE(<object>pair) < least:
            return None
        return <object>PyTuple_GET_ITEM(<object>pair, at)
    if PyList_CheckExact(<object>pair) and PyList_GET_SIZE(<object>pair) >= least:
        return <object>PyList_GET_ITEM(<object>pair, at)
    return None


cdef inline bint _is_forwarded_for(const char *name) noexcept nogil:
    """Is a name of 15 characters X-Forwarded-For, in any case?"""
    cdef const char *wanted = b"x-forwarded-for"
    cdef int i
    cdef char c
    for i in range(15):
        c = name[i]
        if 65 <= c <= 90:
            c |= 32
        if c != wanted[i]:
            return False
    return True


cdef class Gate:
    """An ASGI app that lets plainly allowed requests through to another. See the twin."""

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

    def __call__(self, scope, receive, send):
        """Return the awaitable that serves one connection."""
        decision = None
        if self.way != NO_WAY and PyDict_CheckExact(scope):
            decision = self.admit(scope)
        if decision is None:
            return self.slow(scope, receive, send)
        if self.annotate_:
            (<dict>scope)["georestrict"] = decision
        return self.app(scope, receive, send)

    def admitted(self, scope):
        """Return the plain allow for a scope, or None to go the slow way."""
        if self.way == NO_WAY or not PyDict_CheckExact(scope):
            return None
        return self.admit(scope)

    cdef object admit(self, object scope):
        cdef PyObject *kind = PyDict_GetItem(scope, "type")
        cdef PyObject *client
        cdef uint64_t high = 0, low = 0
        cdef uint32_t number
        cdef int version
        cdef uint8_t mark
        if kind == NULL or not PyUnicode_CheckExact(<object>kind):
            return None
        if <str><object>kind != "http" and <str><object>kind != "websocket":
            return None
        client = PyDict_GetItem(scope, "client")
        if client == NULL:
            return None
        host = _pair_item(client, 0, 1)
        if not PyUnicode_CheckExact(host):
            return None
        version = _parse_str(<str>host, &high, &low)
        if self.way == BY_FORWARDED_FOR and version:
            version = self.forwarded(version, PyDict_GetItem(scope, "headers"), &high, &low)
        if version == 0:
            return None
        passes = self.current.held
        if version == 4:
            number = passes.table.find_ipv4(<uint32_t>low)
        else:
            number = passes.table.find_ipv6(high, low)
        mark = passes.marks[number]
        if mark == MARK_PLAIN or (mark == MARK_PLAIN_PRIVATE and self.way == BY_FORWARDED_FOR):
            return <object>PyTuple_GET_ITEM(passes.decisions, number)
        if mark == MARK_BY_PATH:
            return _by_path(passes, number, scope)
        return None

    cdef int forwarded(self, int peer, PyObject *headers, uint64_t *high, uint64_t *low) except -1:
        """Replace the peer by the right-most untrusted entry; 0 if anything is not plain."""
        cdef PyObject *chain = NULL
        cdef PyObject *pair
        cdef Py_ssize_t count, i
        cdef bint is_list
        if not self.is_trusted(peer, high[0], low[0]) or headers == NULL:
            return 0
        is_list = PyList_CheckExact(<object>headers)
        if not is_list and not PyTuple_CheckExact(<object>headers):
            return 0
        i = 0
        while i < (PyList_GET_SIZE(<object>headers) if is_list else PyTuple_GET_SIZE(<object>headers)):
            pair = PyList_GET_ITEM(<object>headers, i) if is_list else PyTuple_GET_ITEM(<object>headers, i)
            i += 1
            if PyTuple_CheckExact(<object>pair):
                if PyTuple_GET_SIZE(<object>pair) != 2:
                    return 0
            elif not PyList_CheckExact(<object>pair) or PyList_GET_SIZE(<object>pair) != 2:
                return 0
            name = _pair_item(pair, 0, 2)
            if not PyBytes_CheckExact(name):
                return 0
            if PyBytes_GET_SIZE(name) == 15 and _is_forwarded_for(PyBytes_AS_STRING(name)):
                value = _pair_item(pair, 1, 2)
                if chain != NULL or not PyBytes_CheckExact(value):
                    return 0
                chain = <PyObject *>value  # the headers hold it
        if chain == NULL or PyBytes_GET_SIZE(<object>chain) > MOST_BYTES:
            return 0
        return self.walk(
            <const unsigned char *>PyBytes_AS_STRING(<object>chain), PyBytes_GET_SIZE(<object>chain), high, low
        )

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


cdef object _by_path(Passes passes, uint32_t number, object scope):
    """The plain allow for a path that was seen before, sent just as the app sees it; or None."""
    cdef PyObject *route
    cdef Py_ssize_t length, place
    path = _item(scope, "path")  # owned: whatever runs meanwhile cannot take them away
    raw = _item(scope, "raw_path")
    root = _item(scope, "root_path")
    if root is not None and (not PyUnicode_CheckExact(root) or PyUnicode_GET_LENGTH(root)):
        return None
    if not PyUnicode_CheckExact(path) or not PyBytes_CheckExact(raw):
        return None
    if not PyUnicode_IS_COMPACT_ASCII(path):
        return None
    length = PyUnicode_GET_LENGTH(path)
    if PyBytes_GET_SIZE(raw) != length:
        return None
    if memcmp(PyUnicode_1BYTE_DATA(path), PyBytes_AS_STRING(raw), length) != 0:
        return None
    route = PyDict_GetItem(passes.routes, path)
    if route == NULL:
        return None
    known = <object>PyTuple_GET_ITEM(passes.by_path, number)
    place = <object>route
    if known is None or place < 0 or place >= PyList_GET_SIZE(known):
        return None
    return <object>PyList_GET_ITEM(known, place)


cdef inline object _item(object scope, object key):
    cdef PyObject *found = PyDict_GetItem(scope, key)
    return None if found == NULL else <object>found
