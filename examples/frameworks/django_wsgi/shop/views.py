"""The pages of the shop."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page

from georestrict import restrict
from georestrict.django import decision


def home(request: HttpRequest) -> HttpResponse:
    """Greet, and tell where the client appears to be."""
    return render(request, "shop/home.html")


def contact(request: HttpRequest) -> HttpResponse:
    """Tell everybody how to reach us."""
    return HttpResponse("write to us")


@restrict("wine")  # above the cache, which knows nothing of countries
@cache_page(60)
def catalogue(request: HttpRequest) -> HttpResponse:
    """List what may not be sent everywhere."""
    return HttpResponse("twelve wines")


@method_decorator(restrict("wine"), name="dispatch")
class Order(View):
    """Take orders of what may not be sent everywhere."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Tell where the order would go."""
        found = decision(request)
        return HttpResponse(f"wine, sent to {found.country if found else 'nowhere'}")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for what is not there; blocked clients are not told even that."""
    return HttpResponse("there is nothing here", status=404)
