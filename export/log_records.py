"""Which of a logger's records are shown for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def only_records(
    logger: logging.Logger,
    is_wanted: Callable[[logging.LogRecord], bool],
) -> Iterator[None]:
    """Drops what a logger is given in a block, but for the records that are wanted.

    Args:
        logger: The logger. Records that its children pass on to it are not asked about.
        is_wanted: Whether to show a record.

    Example:
        >>> logger = logging.getLogger("tensorflow")
        >>> with only_records(logger, lambda record: record.levelno >= logging.ERROR):
        ...     logger.warning("deprecated")
    """
    logger.addFilter(is_wanted)
    try:
        yield
    finally:
        logger.removeFilter(is_wanted)
