"""Parts on the workers of a Dask cluster (extra `[dask]`)."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Sequence

from distributed import Client, Future, KilledWorker, as_completed

from tafe_tf.engines.driver import EngineError, OnRows, Part, Work
from tafe_tf.engines.worker import Errand, attempt, errand_of

SECONDS = 60  # that a scheduler may take to answer and to have its first worker


class DaskDriver:
    """Deals parts out by a Dask scheduler.

    A part whose worker dies goes to another worker. A part that fails is not tried again.

    Args:
        address: The scheduler's address, such as "tcp://10.0.0.1:8786" or "10.0.0.1:8786".
    """

    each_part = True

    def __init__(self, address: str) -> None:
        self._address = address

    def run(
        self,
        work: Work,
        parts: Sequence[Part],
        on_rows: OnRows,
    ) -> None:
        """See `Driver.run`."""
        if not parts:
            return
        with _client(self._address) as client:
            # A future of its own: the errand travels once to each worker and not with every part.
            errand = client.submit(_same, errand_of(work), pure=False)
            pickled = [pickle.dumps(part) for part in parts]
            futures = client.map(attempt, pickled, errand=errand, pure=False)
            paths = {future.key: part.path for future, part in zip(futures, parts, strict=True)}
            for future in as_completed(futures, loop=client.loop):
                on_rows(_rows(future, paths[future.key]))


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    """A connection to a scheduler that has a worker. What is not done at its end is cancelled."""
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"--dask_address={address}: no scheduler answers there: {error}"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError:
            rule = "the scheduler has no worker; start `dask worker ADDRESS` on some machine"
            raise EngineError(f"--dask_address={address}: {rule}") from None
        yield client


def _same(errand: Errand) -> Errand:
    return errand


def _rows(future: Future, path: str) -> int:
    """The number of rows of a part that is done."""
    try:
        return int(future.result())
    except EngineError:
        raise
    except KilledWorker as error:
        deaths = f"{path}: the workers that had a part of it died one after the other"
        raise EngineError(f"{deaths}; they may need more memory: {error}") from error
    except ModuleNotFoundError as error:
        raise EngineError(
            f"a worker cannot import the package: {error}; install it there"
        ) from None
    except Exception as error:  # what Dask itself says
        raise EngineError(f"{path}: {type(error).__name__}: {error}") from error
