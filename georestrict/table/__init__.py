"""The compiled table: an image file around the radix trie of ``georestrict._core``."""

from georestrict.table.image import Image, publish

__all__ = ["Image", "publish"]
