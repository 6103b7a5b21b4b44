"""What all architectures share: the embedding, one linear head a task, their loss and their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tafe_tf.layers import FusedEmbedding, PartitionedEmbedding
from tafe_tf.losses import FunnelLoss


class FunnelModel(keras.Model):
    """A model of the contract, without what lies between embeddings and heads.

    Args:
        field_rows: embedding rows of each of the F fields.
        num_tasks: N >= 2, the funnel's length.
        embedding_dim: d.
        own: the architecture's own arguments, for its configuration.
        embedding_stddev: standard deviation of the table's start.
        embedding_dtype: what the table is kept in; see `FusedEmbedding`.
        embedding_parts: into how many tables it is cut, for parameter servers; see `PartitionedEmbedding`.
        slots: ids per field, by default one; see `FusedEmbedding`.

    Attributes:
        products: whether f_i is a product of conditional probabilities, whose logits `shift_logits` then moves.
        pieces: into how many pieces a batch is cut between the embeddings and the logits. They do not depend on each
            other: with a thread or two for each operation, the cores work on pieces side by side, whose tensors stay in
            their caches.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies what only training has.

    Returns:
        Logits [B, N], float32; in training further columns may follow, for the model's own loss.
    """

    products = False
    pieces = 1

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int,
        own: dict[str, Any],
        *,
        embedding_stddev: float = 0.05,
        embedding_dtype: str | None = None,
        embedding_parts: int = 1,
        slots: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_tasks < 2:
            raise ValueError(f"`num_tasks` must be 2 or more. Received: num_tasks={num_tasks}")
        self.num_tasks, self.num_fields, self.embedding_dim = (
            num_tasks,
            len(field_rows),
            embedding_dim,
        )
        self._config: dict[str, Any] = {
            "field_rows": list(field_rows),
            "num_tasks": num_tasks,
            "embedding_dim": embedding_dim,
            "embedding_stddev": embedding_stddev,
            "embedding_dtype": embedding_dtype,
            "embedding_parts": embedding_parts,
            "slots": None if slots is None else list(slots),
            **own,
        }

    def make_embedding(self) -> FusedEmbedding | PartitionedEmbedding:
        """An embedding layer, to build."""
        c, policy = self._config, self.dtype_policy
        own = {
            "stddev": c["embedding_stddev"],
            "table_dtype": c["embedding_dtype"],
            "dtype": policy,
        }
        if c["embedding_parts"] > 1:
            return PartitionedEmbedding(
                c["field_rows"], c["embedding_dim"], c["embedding_parts"], c["slots"], **own
            )
        return FusedEmbedding(c["field_rows"], c["embedding_dim"], c["slots"], **own)

    def make_heads(self, count: int | None = None) -> keras.layers.Layer:
        """A linear head a task, or `count`, to build: [B, N, width] -> logits [B, N], in full precision."""
        return keras.layers.EinsumDense(
            "bnd,nd->bn",
            output_shape=count or self.num_tasks,
            bias_axes="n",
            dtype=self.variable_dtype,
            name="heads",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Ids [B, S] -> logits [B, N]."""
        h = self.embed(inputs, training)
        if self.pieces == 1:
            return self.score(h, training)
        rows, n = ops.shape(h)[0], self.pieces
        logits = [self.score(h[rows * i // n : rows * (i + 1) // n], training) for i in range(n)]
        return ops.concatenate(logits, axis=0)

    @property
    def losses(self) -> list[Any]:
        """What layers added to the loss: each is a mean over its piece's rows, their sum over the batch's."""
        return [loss / self.pieces for loss in super().losses]

    def embed(self, inputs: Any, training: bool) -> Any:
        """Ids [B, S] -> H [B, F, d]."""
        return self.embedding(inputs)

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]: the architecture itself."""
        raise NotImplementedError

    def flatten(self, h: Any) -> Any:
        """[B, F, d] -> [B, F d]."""
        return ops.reshape(h, (-1, self.num_fields * self.embedding_dim))

    def shift_logits(self, by: Any) -> None:
        """Adds a constant [N] to the logits, or to the conditional steps' where f is their product, for good."""
        bias = self.heads.bias
        bias.assign(
            ops.concatenate(
                [bias[: self.num_tasks] + ops.cast(by, bias.dtype), bias[self.num_tasks :]]
            )
        )

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """The loss of the architecture's own paper; `kwargs`, of `FunnelLoss`, win over it."""
        return FunnelLoss(task_weights, **{"dependence_weight": 0.0, **kwargs})

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to make: constructors make all weights, whose shapes do not depend on the input."""
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), **self._config}

    def save_own_variables(self, store: Any) -> None:
        """Saves the seeds of dropout too, which Keras leaves out: a loaded model goes on to the bit."""
        super().save_own_variables(store)
        if seeds := self._seeds():
            store["seeds"] = np.stack([ops.convert_to_numpy(seed) for seed in seeds])

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved; weights saved with another dropout do as well."""
        kept = {key: store[key] for key in list(store.keys())}
        seeds = kept.pop("seeds", ())
        super().load_own_variables(kept)
        for seed, value in zip(self._seeds(), seeds, strict=False):
            seed.assign(value)

    def _seeds(self) -> list[keras.Variable]:
        return [variable for variable in self.variables if variable.name == "seed_generator_state"]
