"""The addresses of the site's pages."""

from django.urls import path

from georestrict.django import health
from news import views

urlpatterns = [
    path("headlines", views.headlines),
    path("ticker", views.ticker),
    path("films", views.films),
    path("imprint", views.imprint),
    path("internal/health", health),
]
