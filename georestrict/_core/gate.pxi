# The gate: the way of a plainly allowed request. The twin of _gate.py, where it is told.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.time cimport time as seconds_now

WEBSOCKET = "web socket"

cdef enum:
    MARK_SLOW = 0
    MARK_PLAIN = 1
    MARK_PLAIN_PRIVATE = 2
    MARK_BY_PATH = 3
    BY_PEER = 0
    BY_CHAIN = 1
    BY_SINGLE = 2
    SAMPLES = 64
    SOON = 2
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
    """What the gate needs of a snapshot. See the twin."""

    cdef Table table
    cdef const uint16_t[::1] held_verdicts
    cdef const uint16_t *verdict_of
    cdef bytes held_kinds
    cdef const uint8_t *kinds
    cdef tuple tallies
    cdef list decisions
    cdef list by_path
    cdef dict routes
    cdef dict all_routes
    cdef bint limited
    cdef int64_t since
    cdef int64_t until

    def __cinit__(
        self, Table table not None, verdict_of, bytes kinds not None, tallies, list decisions not None,
        list by_path not None, dict routes not None,
    ):
        self.held_verdicts = verdict_of
        self.tallies = tuple(tallies)
        if self.held_verdicts.shape[0] != table.classes:
            raise ValueError("there must be a 16-bit verdict for each class")
        if len(kinds) != len(self.tallies) or max(verdict_of) >= len(kinds):
            raise ValueError("there must be a kind and a tally for each verdict")
        for kind, tally in zip(kinds, self.tallies):
            if kind in (MARK_PLAIN, MARK_PLAIN_PRIVATE) and type(tally) is not Tally:
                raise TypeError("what is let through has a tally")
        self.table = table
        self.verdict_of = &self.held_verdicts[0]
        self.held_kinds = kinds
        self.kinds = self.held_kinds
        self.decisions = decisions
        self.by_path = by_path
        self.routes = routes
        self.all_routes = routes.get("")

    def hold(self, int64_t since, int64_t until):
        """Let the gate decide from ``since`` on and before ``until`` only, else all goes slow."""
        self.since = since  # nothing can come between these lines
        self.until = until
        self.limited = True

    @property
    def period(self):
        """From when on and until when the gate decides; None: always."""
        return (self.since, self.until) if self.limited else None

    def holds(self):
        """Return whether the gate may decide now."""
        return self.hold_now()

    cdef inline bint hold_now(self) noexcept:
        cdef int64_t now
        if not self.limited:
            return True
        now = seconds_now(NULL)
        return self.since <= now < self.until


cdef struct Pass:
    PyObject *tally  # both borrowed: nothing may run before they are used
    PyObject *decision


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
    cdef object looked
    cdef object drawn
    cdef object draw
    cdef uint32_t samples
    cdef uint32_t until_look
    cdef uint32_t until_draw
    cdef uint32_t until_sample
    cdef uint32_t gap

    def open_gate(self, app, slow, Current current not None, bint annotate, Way way, sampling=None):
        """Set everything that a request needs; until then, and without a way, all goes slow."""
        self.app = app
        self.slow = slow
        self.current = current
        self.annotate_ = annotate
        self.way = way
        self.looked, self.drawn, self.draw = sampling or (slow, slow, None)
        self.samples = SAMPLES
        self.until_look = SOON
        self.until_draw = SOON if self.draw is None else self.draw()
        self.gap = self.until_sample = min(self.until_look, self.until_draw)

    cdef inline bint is_sample(self) noexcept:
        """Does this request go the slow way although it is plainly allowed?"""
        self.until_sample -= 1
        return self.until_sample == 0

    cdef object sampled(self):
        """Return the way that a sample goes, and begin to count to the next."""
        self.until_look -= self.gap
        if self.until_look == 0:
            if self.samples:
                self.samples -= 1
            self.until_look = SOON if self.samples else LATER
        way = self.looked
        if self.draw is None:
            self.until_draw = self.until_look
        else:
            self.until_draw -= self.gap
            if self.until_draw == 0:
                way = self.drawn
                self.until_draw = self.draw()  # meanwhile other threads pass, and count nothing
        self.gap = self.until_sample = min(self.until_look, self.until_draw)
        return way

    cdef bint admit(self, object host, object request, Pass *out) except -1:
        """Find the tally and decision of the plain allow for a request; False to go the slow way.

        Without ``annotate`` the decision is the tally's, which may be of another location.
        """
        cdef uint64_t high = 0, low = 0
        cdef uint32_t number
        cdef uint16_t verdict
        cdef uint8_t mark
        cdef int version = 0
        cdef Way way = self.way
        if _is_text(host):
            version = _parse(_text_of(host), PyUnicode_GET_LENGTH(host), &high, &low)
        if way.kind != BY_PEER:
            if way.trusted is not None:
                if host is None:
                    if not way.over_unix or not self.is_unix(request):
                        return False
                elif version == 0 or not way.trusted.has(version, high, low):
                    return False
            high = 0
            version = self.forwarded(request, &high, &low)
        if version <= 0:
            return False
        passes = self.current.held
        if not passes.hold_now():
            return False
        if version == 4:
            number = passes.table.find_hot(<uint32_t>low)
        else:
            number = passes.table.find_hot_ipv6(high, low)
        verdict = passes.verdict_of[number]
        mark = passes.kinds[verdict]
        if mark == MARK_PLAIN or (mark == MARK_PLAIN_PRIVATE and way.kind != BY_PEER):
            out.tally = <PyObject *>PyTuple_GET_ITEM(passes.tallies, verdict)
            if not self.annotate_:
                out.decision = <PyObject *>(<Tally>out.tally).decision
                return True
            if number >= PyList_GET_SIZE(passes.decisions):
                return False
            out.decision = <PyObject *>PyList_GET_ITEM(passes.decisions, number)
            return <object>out.decision is not None
        if mark == MARK_BY_PATH and number < PyList_GET_SIZE(passes.by_path):
            return self.by_path(passes, number, request, out)
        return False

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

    cdef bint by_path(self, Passes passes, uint32_t number, object request, Pass *out) except -1:
        """Find the plain allow for a path that was seen before, sent just as the app sees it."""
        return False


cdef inline bint _known(Passes passes, uint32_t number, object method, object path, Pass *out) except -1:
    """Find what the slow way remembered for a class, a method and a path."""
    cdef PyObject *routes
    cdef PyObject *route
    cdef PyObject *pair
    cdef Py_ssize_t place
    if passes.all_routes is not None:
        route = PyDict_GetItem(passes.all_routes, path)
    else:
        if not PyUnicode_CheckExact(method):
            return False
        routes = PyDict_GetItem(passes.routes, method)
        if routes == NULL or not PyDict_CheckExact(<object>routes):
            return False
        route = PyDict_GetItem(<object>routes, path)
    if route == NULL or number >= PyList_GET_SIZE(passes.by_path):
        return False
    place = <object>route
    known = <object>PyList_GET_ITEM(passes.by_path, number)
    if not PyList_CheckExact(known) or place < 0 or place >= PyList_GET_SIZE(known):
        return False
    pair = PyList_GET_ITEM(known, place)
    if not PyTuple_CheckExact(<object>pair) or PyTuple_GET_SIZE(<object>pair) != 2:
        return False
    out.tally = <PyObject *>PyTuple_GET_ITEM(<object>pair, 0)
    out.decision = <PyObject *>PyTuple_GET_ITEM(<object>pair, 1)
    return type(<object>out.tally) is Tally


cdef inline object _item(object request, object key):
    """An item of a dictionary, owned: whatever runs meanwhile cannot take it away."""
    cdef PyObject *found = PyDict_GetItem(request, key)
    return None if found == NULL else <object>found


cdef inline bint _is_text(object text) noexcept:
    return PyUnicode_CheckExact(text) and PyUnicode_IS_COMPACT_ASCII(text)


cdef inline const unsigned char *_text_of(object text) noexcept:
    return <const unsigned char *>PyUnicode_1BYTE_DATA(text)
