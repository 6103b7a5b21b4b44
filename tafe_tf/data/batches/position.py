"""Where training stands in its input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands in its input; a checkpoint holds one.

    Attributes:
        epoch: The running epoch, from 0. Default: 0.
        batch: Batches of this epoch that were already trained on. Default: 0.
        readers: For each reader, the raw row of its order at which a shuffle window begins, and how
            many rows the windows before this one gave. Default: empty, as at the beginning of an
            epoch.
    """

    epoch: int = 0
    batch: int = 0
    readers: Sequence[tuple[int, int]] = ()
