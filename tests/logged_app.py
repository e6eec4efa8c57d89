"""The apps whose servers write the access logs that are read: they answer everything with 200."""

from __future__ import annotations

from georestrict import asgi, wsgi


async def answer_asgi(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Answer a request, or accept a websocket until it is closed."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def answer_wsgi(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> list[bytes]:
    """Answer a request."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
