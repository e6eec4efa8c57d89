"""A news site, as a Django project that is served over ASGI."""
