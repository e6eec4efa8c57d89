"""The gate of a WSGI app, in plain Python. The twin of ``wsgi_gate.pxi``; see ``_gate.py``."""

from __future__ import annotations

from typing import Any

from georestrict._core._gate import Gate, Tally, Way


class WsgiGate(Gate):
    """A WSGI app that lets plainly allowed requests through to another."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Return the iterable that answers one request."""
        found = self._admit_environ(environ)
        if found is None:
            return self._slow(environ, start_response)
        if self._is_sample():
            return self._sampled()(environ, start_response)
        tally, decision = found
        tally.add()
        if self._annotate:
            environ["georestrict"] = decision
        return self._app(environ, start_response)

    def admitted(self, environ: Any) -> Any:
        """Return the plain allow for an environ, or None to go the slow way."""
        found = self._admit_environ(environ)
        return None if found is None else found[1]

    def _admit_environ(self, environ: Any) -> tuple[Tally, Any] | None:
        way = self._way
        if way is None or type(environ) is not dict:
            return None
        return self._admit(way, environ.get("REMOTE_ADDR"), environ)

    def _value(self, way: Way, request: dict[str, Any]) -> bytes | None:
        value = request.get(way.variable)
        return value.encode() if type(value) is str and value.isascii() else None

    def _path(self, request: dict[str, Any]) -> str | None:
        path = request.get("PATH_INFO")
        sent = request.get("RAW_URI")
        if sent is None or sent == "":
            sent = request.get("REQUEST_URI")
        root = request.get("SCRIPT_NAME")
        if root is not None and (type(root) is not str or root):
            return None
        if type(path) is not str or type(sent) is not str:
            return None
        if not path.isascii() or not sent.isascii() or not sent.startswith(path):
            return None
        return path if sent[len(path) : len(path) + 1] in ("", "?") else None

    def _method(self, request: dict[str, Any]) -> Any:
        return request.get("REQUEST_METHOD")
