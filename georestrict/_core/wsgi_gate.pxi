# The gate of a WSGI app. The twin of _wsgi_gate.py.


cdef class WsgiGate(Gate):
    """A WSGI app that lets plainly allowed requests through to another. See the twin."""

    def __call__(self, environ, start_response):
        """Return the iterable that answers one request."""
        cdef Pass found
        if not self.admit_environ(environ, &found):
            return self.slow(environ, start_response)
        if self.is_sample():
            return self.sampled()(environ, start_response)
        (<Tally>found.tally).count += 1
        if self.annotate_:
            (<dict>environ)["georestrict"] = <object>found.decision
        return self.app(environ, start_response)

    def admitted(self, environ):
        """Return the plain allow for an environ, or None to go the slow way."""
        cdef Pass found
        return <object>found.decision if self.admit_environ(environ, &found) else None

    cdef bint admit_environ(self, object environ, Pass *out) except -1:
        if self.way is None or not PyDict_CheckExact(environ):
            return False
        return self.admit(_item(environ, "REMOTE_ADDR"), environ, out)

    cdef int forwarded(self, object request, uint64_t *high, uint64_t *low) except? -100:
        value = _item(request, self.way.variable)
        if not _is_text(value):
            return 0
        return self.read(_text_of(value), PyUnicode_GET_LENGTH(value), high, low)

    cdef bint by_path(self, Passes passes, uint32_t number, object request, Pass *out) except -1:
        cdef Py_ssize_t length
        path = _item(request, "PATH_INFO")
        sent = _item(request, "RAW_URI")
        if sent is None or (PyUnicode_CheckExact(sent) and PyUnicode_GET_LENGTH(sent) == 0):
            sent = _item(request, "REQUEST_URI")
        root = _item(request, "SCRIPT_NAME")
        if root is not None and (not PyUnicode_CheckExact(root) or PyUnicode_GET_LENGTH(root)):
            return False
        if not _is_text(path) or not _is_text(sent):
            return False
        length = PyUnicode_GET_LENGTH(path)
        if PyUnicode_GET_LENGTH(sent) < length or memcmp(_text_of(path), _text_of(sent), length) != 0:
            return False
        if PyUnicode_GET_LENGTH(sent) > length and _text_of(sent)[length] != 63:  # the query's "?"
            return False
        method = None if passes.all_routes is not None else _item(request, "REQUEST_METHOD")
        return _known(passes, number, method, path, out)
