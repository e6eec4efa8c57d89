"""The app for ``INSTALLED_APPS``: it brings the system checks."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.test.signals import setting_changed

from georestrict.django.checks import TAG, check_deployment, check_settings
from georestrict.django.project import engine


class GeoRestrictConfig(AppConfig):
    """Register the checks; let tests that override the setting have their own engine."""

    name = "georestrict.django"
    label = "georestrict"
    verbose_name = "georestrict"

    def ready(self) -> None:
        """Tell Django what to check."""
        checks.register(check_settings, TAG)
        checks.register(check_deployment, TAG, deploy=True)
        setting_changed.connect(_forget, dispatch_uid="georestrict")


def _forget(*, setting: str, **more: Any) -> None:
    if setting == "GEORESTRICT":
        engine.cache_clear()
