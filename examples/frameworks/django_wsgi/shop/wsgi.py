"""The application that servers serve, guarded as the settings say."""

import os

from django.core.wsgi import get_wsgi_application

from georestrict.django import guarded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = guarded(get_wsgi_application())
