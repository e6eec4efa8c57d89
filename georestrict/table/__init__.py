"""The compiled table: an image file around the radix trie of ``georestrict._core``."""

from georestrict.table.image import FORMAT_VERSION, MAGIC, Image, encode, publish

__all__ = ["FORMAT_VERSION", "MAGIC", "Image", "encode", "publish"]
