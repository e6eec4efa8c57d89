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
    "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["shop.guard.decided"]},
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

GEORESTRICT = {
    "policy": BASE_DIR / "policy.toml",
    "policies": {"wine": BASE_DIR / "wine.toml"},
    "client": TrustedProxies("127.0.0.1/32"),
    "responses": {"ours": "shop.guard.sorry"},
    "on_decision": "shop.guard.note",
    "watch": True,
}
