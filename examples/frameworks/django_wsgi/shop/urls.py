"""The addresses of the shop's pages."""

from django.urls import path

from georestrict.django import health
from shop import views

urlpatterns = [
    path("", views.home),
    path("contact/", views.contact),
    path("wine/", views.catalogue),
    path("wine/order/", views.Order.as_view()),
    path("internal/health/", health),
]

handler404 = "shop.views.not_found"
