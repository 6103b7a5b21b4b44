"""A batch computed in pieces, for the caches of a CPU."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import keras
from keras import ops

from tafe_tf.types import Tensor

Native = Callable[[Tensor, Tensor, bool], Tensor]


class InPieces(keras.Model):
    """A model that may cut a batch into pieces between the embeddings and the logits.

    The pieces do not depend on each other. With one or two threads for each operation, the cores
    work on pieces side by side, whose tensors stay in their caches.

    Attributes:
        pieces: Number of pieces that a batch is cut into; 1 by default. `tafe_tf.machine.pieces`
            gives it for a batch size.
        native: What computes between the embeddings and the heads instead of the layers, as
            `TAFE.represent` does; None, the default, for the layers themselves. It shares a batch
            out among the cores by itself. `tafe_tf.native.stack.use` sets it.
    """

    pieces = 1
    native: Native | None = None

    def without_native(self) -> contextlib.AbstractContextManager[None]:
        """Lets the layers themselves compute, whatever `native` is."""
        return self.with_native(None)

    @contextlib.contextmanager
    def with_native(self, native: Native | None) -> Iterator[None]:
        """Lets `native` be another one for a while."""
        before = self.native
        self.native = native
        try:
            yield
        finally:
            self.native = before

    def in_pieces(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Applies a function of rows to each piece of them, and joins the results."""
        pieces = self._pieces
        if pieces == 1:
            return function(rows)
        count = ops.shape(rows)[0]
        bounds = []
        for i in range(pieces + 1):
            bounds.append(count * i // pieces)
        results = []
        for start, end in itertools.pairwise(bounds):
            result = function(rows[start:end])
            results.append(result)
        return ops.concatenate(results, axis=0)

    @property
    def _pieces(self) -> int:
        """The number of pieces that a batch is cut into as things are."""
        return self.pieces if self.native is None else 1

    def add_loss_of_batch(self, loss: Tensor) -> None:
        """Adds to the loss a mean over the whole batch, which is not computed in pieces."""
        self.add_loss(loss * self._pieces)

    @property
    def losses(self) -> list[Tensor]:
        """What layers added to the loss: each a mean over a piece, and their sum one over all."""
        pieces = self._pieces
        return [loss / pieces for loss in super().losses]
