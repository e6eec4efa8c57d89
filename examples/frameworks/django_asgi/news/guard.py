"""What the site does about decisions; the settings name this function by its path."""

import logging

from georestrict import Decision

logger = logging.getLogger(__name__)


async def note(decided: Decision, account: str | None) -> None:
    """Write down what was decided, when it was not a plain allow."""
    logger.info("%s by %s", decided.action, decided.rule)
