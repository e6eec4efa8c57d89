"""The application that servers serve, guarded as the settings say."""

import os

from django.core.asgi import get_asgi_application

from georestrict.django import guarded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "news.settings")

application = guarded(get_asgi_application())
