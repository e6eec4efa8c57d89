"""Bringing files: what a manifest asks to fetch, who provides it, and how it gets here safely.

:mod:`~georestrict.update.orders` reads what a ``[[source]]`` says, with the names of
:mod:`~georestrict.update.catalogue`; :mod:`~georestrict.update.secrets` reads what opens the doors;
:mod:`~georestrict.update.fetch` brings one file, :mod:`~georestrict.update.checksum` and
:mod:`~georestrict.update.archive` look at it, and :mod:`~georestrict.update.keep` knows the images
that were in force before. The whole run is :mod:`georestrict.renewal`.
"""
