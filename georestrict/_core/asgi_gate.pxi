# The gate of an ASGI app. The twin of _asgi_gate.py.

cdef inline object _pair_item(PyObject *pair, Py_ssize_t at, Py_ssize_t least):
    """An item of a tuple or list of at least so many items, or None."""
    if PyTuple_CheckExact(<object>pair):
        if PyTuple_GET_SIZE(<object>pair) < least:
            return None
        return <object>PyTuple_GET_ITEM(<object>pair, at)
    if PyList_CheckExact(<object>pair) and PyList_GET_SIZE(<object>pair) >= least:
        return <object>PyList_GET_ITEM(<object>pair, at)
    return None


cdef inline bint _is_header(const unsigned char *name, const unsigned char *wanted, Py_ssize_t length) noexcept nogil:
    """Is a name the wanted one, in any case? What is wanted is in lower case."""
    cdef Py_ssize_t i
    cdef unsigned char c
    for i in range(length):
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
        cdef Pass found
        if not self.admit_scope(scope, &found):
            return self.slow(scope, receive, send)
        if self.is_sample():
            return self.sampled()(scope, receive, send)
        (<Tally>found.tally).count += 1
        if self.annotate_:
            (<dict>scope)["georestrict"] = <object>found.decision
        return self.app(scope, receive, send)

    def admitted(self, scope):
        """Return the plain allow for a scope, or None to go the slow way."""
        cdef Pass found
        return <object>found.decision if self.admit_scope(scope, &found) else None

    cdef bint admit_scope(self, object scope, Pass *out) except -1:
        cdef PyObject *kind
        cdef PyObject *client
        if self.way is None or not PyDict_CheckExact(scope):
            return False
        kind = PyDict_GetItem(scope, "type")
        if kind == NULL or not PyUnicode_CheckExact(<object>kind):
            return False
        if <str><object>kind != "http" and <str><object>kind != "websocket":
            return False
        client = PyDict_GetItem(scope, "client")
        if client == NULL or <object>client is None:
            return self.admit(None, scope, out)
        host = _pair_item(client, 0, 1)
        return host is not None and self.admit(host, scope, out)

    cdef bint is_unix(self, object request):
        cdef PyObject *server = PyDict_GetItem(request, "server")
        if server == NULL or not (PyTuple_CheckExact(<object>server) or PyList_CheckExact(<object>server)):
            return False
        path = _pair_item(server, 0, 2)
        return (
            len(<object>server) == 2 and _pair_item(server, 1, 2) is None
            and _is_text(path) and PyUnicode_GET_LENGTH(path) > 0 and _text_of(path)[0] == 47
        )

    cdef int forwarded(self, object request, uint64_t *high, uint64_t *low) except? -100:
        cdef PyObject *headers = PyDict_GetItem(request, "headers")
        cdef PyObject *found = NULL
        cdef PyObject *pair
        cdef unsigned char joined[MOST_BYTES]
        cdef Py_ssize_t size = 0, more
        cdef bint several = False
        cdef Py_ssize_t length = PyBytes_GET_SIZE(self.way.header), i = 0
        cdef const unsigned char *wanted = <const unsigned char *>PyBytes_AS_STRING(self.way.header)
        cdef bint is_list
        if headers == NULL:
            return 0
        is_list = PyList_CheckExact(<object>headers)
        if not is_list and not PyTuple_CheckExact(<object>headers):
            return 0
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
            if PyBytes_GET_SIZE(name) == length and _is_header(
                <const unsigned char *>PyBytes_AS_STRING(name), wanted, length
            ):
                value = _pair_item(pair, 1, 2)
                if not PyBytes_CheckExact(value):
                    return 0
                if found != NULL:  # several lines are one, joined in order (HAProxy writes its own)
                    more = PyBytes_GET_SIZE(value)
                    if not several:
                        size = PyBytes_GET_SIZE(<object>found)
                        if size > MOST_BYTES:
                            return 0
                        memcpy(joined, PyBytes_AS_STRING(<object>found), size)
                        several = True
                    if self.way.kind == BY_SINGLE or size + 1 + more > MOST_BYTES:
                        return 0
                    joined[size] = 44
                    memcpy(joined + size + 1, PyBytes_AS_STRING(value), more)
                    size += 1 + more
                found = <PyObject *>value  # the headers hold it
        if found == NULL:
            return 0
        if several:
            return self.read(joined, size, high, low)
        return self.read(
            <const unsigned char *>PyBytes_AS_STRING(<object>found), PyBytes_GET_SIZE(<object>found), high, low
        )

    cdef bint by_path(self, Passes passes, uint32_t number, object request, Pass *out) except -1:
        cdef Py_ssize_t length
        path = _item(request, "path")
        raw = _item(request, "raw_path")
        root = _item(request, "root_path")
        if root is not None and (not PyUnicode_CheckExact(root) or PyUnicode_GET_LENGTH(root)):
            return False
        if not _is_text(path) or not PyBytes_CheckExact(raw):
            return False
        length = PyUnicode_GET_LENGTH(path)
        if PyBytes_GET_SIZE(raw) != length or memcmp(_text_of(path), PyBytes_AS_STRING(raw), length) != 0:
            return False
        if passes.all_routes is not None:
            return _known(passes, number, None, path, out)
        kind = _item(request, "type")
        return _known(passes, number, _item(request, "method") if kind == "http" else WEBSOCKET, path, out)
