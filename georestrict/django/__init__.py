"""Django: ``settings.GEORESTRICT`` describes the middleware around a project's application.

``guarded`` stands in ``wsgi.py`` and ``asgi.py``, around everything that Django answers: redirects,
pages of its own and static files, too. A class in ``MIDDLEWARE`` would come after the server has
handed over the request, and never see a WebSocket. With ``"georestrict.django"`` among the
``INSTALLED_APPS``, ``manage.py check`` tells what is wrong with settings and policy.

Keys are the options of :class:`georestrict.guard.Guard`. Functions of the project may be named by
their dotted path, since settings cannot import them; ``annotate`` is on unless it is turned off.
"""

from georestrict.django.project import decision, engine, guarded, options
from georestrict.django.views import health

__all__ = ["decision", "engine", "guarded", "health", "options"]
