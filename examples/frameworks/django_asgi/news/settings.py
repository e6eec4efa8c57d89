"""The settings; ``GEORESTRICT`` describes who is let in."""

import os
from pathlib import Path

from georestrict.address import TrustedProxies

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "only for trying it out: give it one of your own, secret")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "georestrict.django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "news.urls"
WSGI_APPLICATION = None  # only news.asgi is served
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

GEORESTRICT = {
    "policy": BASE_DIR / "policy.toml",
    "policies": {"films": BASE_DIR / "films.toml"},
    "client": TrustedProxies("127.0.0.1/32"),
    "on_decision": "news.guard.note",
    "watch": True,
}
