# The gate of an ASGI app. The twin of AsgiGate in _gate.py.

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


cdef class AsgiGate(Gate):
    """An ASGI app that lets plainly allowed requests through to another. See the twin."""

    def __call__(self, scope, receive, send):
        """Return the awaitable that serves one connection."""
        tally = self.admit_scope(scope)
        if tally is None:
            return self.slow(scope, receive, send)
        tally.count += 1
        if self.annotate_:
            (<dict>scope)["georestrict"] = tally.decision
        return self.app(scope, receive, send)

    def admitted(self, scope):
        """Return the plain allow for a scope, or None to go the slow way."""
        tally = self.admit_scope(scope)
        return None if tally is None else tally.decision

    cdef Tally admit_scope(self, object scope):
        cdef PyObject *kind
        cdef PyObject *client
        if self.way == NO_WAY or not PyDict_CheckExact(scope):
            return None
        kind = PyDict_GetItem(scope, "type")
        if kind == NULL or not PyUnicode_CheckExact(<object>kind):
            return None
        if <str><object>kind != "http" and <str><object>kind != "websocket":
            return None
        client = PyDict_GetItem(scope, "client")
        if client == NULL:
            return None
        host = _pair_item(client, 0, 1)
        if not _is_text(host):
            return None
        return self.admit(_text_of(host), PyUnicode_GET_LENGTH(host), scope)

    cdef int forwarded(self, object request, uint64_t *high, uint64_t *low) except -1:
        cdef PyObject *headers = PyDict_GetItem(request, "headers")
        cdef PyObject *chain = NULL
        cdef PyObject *pair
        cdef Py_ssize_t count, i
        cdef bint is_list
        if headers == NULL:
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

    cdef Tally by_path(self, Passes passes, uint32_t number, object request):
        cdef Py_ssize_t length
        path = _item(request, "path")
        raw = _item(request, "raw_path")
        root = _item(request, "root_path")
        if root is not None and (not PyUnicode_CheckExact(root) or PyUnicode_GET_LENGTH(root)):
            return None
        if not _is_text(path) or not PyBytes_CheckExact(raw):
            return None
        length = PyUnicode_GET_LENGTH(path)
        if PyBytes_GET_SIZE(raw) != length or memcmp(_text_of(path), PyBytes_AS_STRING(raw), length) != 0:
            return None
        return _known(passes, number, path)
