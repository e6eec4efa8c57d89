"""The pages of the site."""

from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from georestrict import restrict
from georestrict.django import decision


async def headlines(request: HttpRequest) -> HttpResponse:
    """Tell the news, and where the client appears to be."""
    found = decision(request)
    return JsonResponse({"headlines": ["none"], "country": found.country if found else None})


async def ticker(request: HttpRequest) -> StreamingHttpResponse:
    """Send news as it comes."""

    async def lines() -> AsyncIterator[str]:
        for number in (1, 2, 3):
            yield f"data: news {number}\n\n"

    return StreamingHttpResponse(lines(), content_type="text/event-stream")


@restrict("films")
async def films(request: HttpRequest) -> HttpResponse:
    """List films, which are not licensed everywhere."""
    return JsonResponse({"films": ["The Third Man"]})


def imprint(request: HttpRequest) -> HttpResponse:
    """Tell everybody who we are; it is no coroutine function, and that is as well."""
    return HttpResponse("Example Ltd")
