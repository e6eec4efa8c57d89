"""What can go wrong, as exceptions.

::

    GeoRestrictError
    ├── ConfigurationError (also a ValueError)   a policy, list, manifest or option is wrong
    ├── UpdateError                              data could not be fetched or put in force
    └── DatabaseError                            an image or a source of data cannot be used
        ├── FormatError                          it is not what it should be, or it is damaged
        │   └── ChecksumError                    its bytes are not those that were written
        ├── VersionError                         its format is of another version
        └── StaleDataError                       it is older than its owner allows

All of them are raised when something is built or opened, never by a request. A message says what
is wrong, where, what was expected, and what to do.
"""

from __future__ import annotations


class GeoRestrictError(Exception):
    """Base of every exception that georestrict raises on purpose."""


class ConfigurationError(GeoRestrictError, ValueError):
    """A policy, list, manifest or option is wrong; the message names the place and the fix."""


class UpdateError(GeoRestrictError):
    """New data could not be fetched, or may not be put in force; the old stays."""


class DatabaseError(GeoRestrictError):
    """An image, or a source of data, cannot be used."""


class FormatError(DatabaseError):
    """A file is not of the format it should be, or it is damaged."""


class ChecksumError(FormatError):
    """A file's bytes are not those that were written."""


class VersionError(DatabaseError):
    """An image has a format version that this release does not read."""


class StaleDataError(DatabaseError):
    """Data is older than its owner allows."""
