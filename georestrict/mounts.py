"""Mounts: what apps take for the path of a request, where a server tells a root path."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from georestrict.request import Request


def find_paths(request: Request, root: str) -> None:
    """Find what apps route on: the path below the mount, if the server has the mount in it.

    Frameworks do not agree on how to tell, so it is guarded as all that one of them may take it
    for, and exempt only if all take it for the same.
    """
    sent = [request.path, *_within_url(request.path)]
    readings = [below for path in sent for below in _below(path, root)] if root else sent
    request.disputed = len({*readings}) > 1
    request.path = readings[0]
    request.other_paths = tuple({*readings, *sent} - {request.path})
    raw_root = root.encode("utf-8", "surrogateescape")
    if request.raw_path is not None and request.raw_path.startswith(raw_root + b"/"):
        request.raw_path = request.raw_path[len(raw_root) :]


def _within_url(path: str) -> tuple[str, ...]:
    """The path within a request target that is a whole URL, which Quart routes on."""
    if path.startswith("/"):
        return ()
    try:
        return (urlsplit(path).path,)
    except ValueError:
        return ()


def _below(path: str, root: str) -> Iterator[str]:
    """What Starlette, Quart and Django, and Litestar take for the path below a mount."""
    at_boundary = path == root or path.startswith(root + "/")
    yield _from_root(path[len(root) :] if at_boundary else path)
    yield _from_root(path.removeprefix(root))
    yield _from_root(path.split(root, 1)[-1])


def _from_root(path: str) -> str:
    return path if path.startswith("/") else "/" + path
