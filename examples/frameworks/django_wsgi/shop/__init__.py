"""A shop, as a Django project that is served over WSGI."""
