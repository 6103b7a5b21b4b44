"""The contract of all architectures, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf import log_normal
from tafe_tf.layers import (
    Configured,
    FieldEmbedding,
    FusedEmbedding,
    GammaSchedule,
    HeadsWithAmount,
    PartitionedEmbedding,
)
from tafe_tf.layers.encoders import taken
from tafe_tf.losses import FunnelLoss
from tafe_tf.models.argument_rules import check_arguments
from tafe_tf.models.checked_ids import CheckedIds
from tafe_tf.models.known_inputs import KnownInputs
from tafe_tf.models.pieces import InPieces
from tafe_tf.models.products import product_logits
from tafe_tf.models.saved_seeds import SavedSeeds
from tafe_tf.types import Inputs, Tensor

Embedding = FusedEmbedding | PartitionedEmbedding | FieldEmbedding

# Arguments that models were saved without before there were any; None, and then left out again.
_LATE = ("shares", "frozen", "encoders")


class FunnelModel(Configured, CheckedIds, InPieces, KnownInputs, SavedSeeds):
    """A model of the contract, to be completed by what lies between the embeddings and the heads.

    A subclass makes its layers in the constructor, the first by `make_embedding` and the last by
    `finish`, and gives `score`. Its configuration is its constructor's arguments, see `Configured`.
    All weights exist once it is constructed. The order in which layers are assigned is the order of
    `variables`, which checkpoints go by, and the order in which they are made and built decides
    which weights a seed draws: both stay as they are.

    Args:
        field_rows: Number of embedding rows of each of the F fields.
        num_tasks: Length of the funnel, N, 1 or more.
        embedding_dim: Embedding dimension d, in numbers for each id; 18 by default.
        heads: What the head of step i gives: "separate" heads give the logit of f_i itself, and
            "conditional" ones, for i of 2 and more, that of P(T_i = 1 | T_{i-1} = 1, X). Then f_i
            is their product up to step i, never rises along the funnel, and is learned over the
            entire space, as ESMM's is (Ma et al. 2018, eq. 4). By default separate, and conditional
            for esmm, escm2, esm2 and hm3, whose papers have products and which take nothing else. A
            training job of tafe has conditional heads by default.
        conditional_weight: Weight in the loss of the cross entropies of each step given the one
            before, over the rows that reached it; 0 by default, and in a training job of tafe 1.
            Over all impressions alone, a row that never reached a step says that the step was
            unlikely, and the conditional follows the probability of the step before. The term
            states what the rows that got there say, as ESCM2's risks do (Wang et al. 2022).
        embedding_stddev: Standard deviation of the normal distribution that the embedding table
            starts from; 0.05 by default.
        embedding_l2: Weight in the loss of the squares of the embeddings that a batch reads: their
            sum over the numbers of H, and the mean of that over the rows; 0 by default. It keeps
            the rows of the table short, those that are read often more than others.
        embedding_dtype: Type that the embedding table is kept in, one of float32, bfloat16 and
            float16; by default that of all weights, float32. Its moments in the optimizer are
            float32 in any case.
        embedding_parts: Number of tables of whole fields that the embedding table is cut into, so
            that parameter servers can share them; 1 by default.
        slots: Number of ids in each field; one each by default. See `FusedEmbedding`.
        amount: Whether the model also learns what the last step brings, see `tafe_tf.log_normal`.
            Its head reads what the head of the last step reads. The default is False.
        shares: For each field the place, from 0, of the field whose rows it uses; by default its
            own. See `FusedEmbedding`.
        frozen: The places of the fields with rows of their own that are not trained; none by
            default. See `PartitionedEmbedding`.
        encoders: What makes the rows of H that are no pooled ids, a mapping for each, see
            `tafe_tf.layers.encoders`; F is then the number of fields of ids that no sequence takes
            and of these. By default None, there are none.

    Attributes:
        products: Whether f_i is a product of conditional probabilities, whose logits `shift_logits`
            then moves. An architecture that computes products itself sets it in its class.
        may_learn_delays: Whether its loss is of the steps' labels and probabilities alone, so that
            it can be corrected for delays (`tafe_tf.losses.ExponentialDelay`). An architecture
            whose loss has terms of its own sets it to false in its class.

    Call arguments:
        inputs: Ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`. With
            encoders further ones, see `FieldEmbedding`.
        training: Whether to apply what only training has, such as dropout.

    Returns:
        Logits [B, N], float32; column i is the logit of f_i = P(T_i = 1 | X) over all impressions.
        In training further columns may follow, for the model's own loss. With an amount mu and s of
        its law are the last two columns, in training or not.

    Raises:
        ValueError: If an argument of the constructor breaks its rule, or an id of a call lies
            outside its field's rows, see `CheckedIds`.

    Example: an architecture of one's own, a linear head for each task on the embeddings.
        >>> import numpy as np
        >>> class Linear(FunnelModel):
        ...     def __init__(self, field_rows, num_tasks, **kwargs):
        ...         super().__init__(field_rows, num_tasks, **kwargs)
        ...         self.embedding = self.make_embedding()
        ...         self.finish(self.flat_size)
        ...
        ...     def score(self, h, training):
        ...         flat = self.flatten(h)[:, None]  # [B, 1, F d]
        ...         return self.heads(ops.repeat(flat, self.num_tasks, axis=1))
        >>> model = Linear(field_rows=[10, 20], num_tasks=2)
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    products = False
    may_learn_delays = True

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        *,
        heads: Literal["separate", "conditional"] = "separate",
        conditional_weight: float = 0.0,
        embedding_stddev: float = 0.05,
        embedding_l2: float = 0.0,
        embedding_dtype: Literal["float32", "bfloat16", "float16"] | None = None,
        embedding_parts: int = 1,
        slots: Sequence[int] | None = None,
        amount: bool = False,
        shares: Sequence[int] | None = None,
        frozen: Sequence[int] | None = None,
        encoders: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_arguments(self.arguments)
        if num_tasks < 1:
            raise ValueError(f"`num_tasks` must be 1 or more. Received: num_tasks={num_tasks}")
        if heads not in ("separate", "conditional"):
            rule = "must be separate or conditional"
            raise ValueError(f"`heads` {rule}. Received: heads={heads!r}")
        if self.products and heads == "separate":
            rule = f"must be conditional: {type(self).__name__} predicts products"
            raise ValueError(f"`heads` {rule}. Received: heads={heads}")
        self._multiplies = heads == "conditional" and not self.products
        if self._multiplies:
            self.products = True
        self.num_tasks = num_tasks
        self.embedding_l2 = embedding_l2
        self.amount_columns = log_normal.COLUMNS if amount else 0
        self.num_fields = len(field_rows)
        if encoders:
            self.num_fields += len(encoders) - len(taken(encoders))
            self.autocast = False  # raw numbers stay as exact as they came
        self.embedding_dim = embedding_dim
        self.flat_size = self.num_fields * embedding_dim

    def make_embedding(self, *, build: bool = True) -> Embedding:
        """Makes an embedding layer from the constructor's arguments."""
        given = self.arguments
        table: dict[str, Any] = {
            "field_rows": given["field_rows"],
            "dim": given["embedding_dim"],
            "slots": given["slots"],
            "stddev": given["embedding_stddev"],
            "table_dtype": given["embedding_dtype"],
            "shares": given["shares"],
            "dtype": self.dtype_policy,
        }
        parts = given["embedding_parts"]
        embedding: Embedding
        if given["encoders"]:
            embedding = FieldEmbedding(
                encoders=given["encoders"],
                parts=parts,
                frozen=given["frozen"],
                **table,
            )
        elif parts > 1 or given["frozen"]:
            embedding = PartitionedEmbedding(parts=parts, frozen=given["frozen"], **table)
        else:
            embedding = FusedEmbedding(**table)
        if build:
            embedding.build()
        return embedding

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; a model without encoders is saved as before there were any."""
        config = super().get_config()
        for name in _LATE:
            if config[name] is None:
                del config[name]
        return config

    def make_heads(self, count: int | None = None) -> keras.layers.Layer:
        """Makes a linear head a task, or `count`, to build: [B, N, width] -> logits [B, N].

        Heads compute in full precision under any policy. With an amount [B, N + 2] come out.
        """
        if self.amount_columns:
            count = count or self.num_tasks
            return HeadsWithAmount(
                count,
                self.place_of_amount(count),
                dtype=self.variable_dtype,
                name="heads",
            )
        return keras.layers.EinsumDense(
            "bnd,nd->bn",
            output_shape=count or self.num_tasks,
            bias_axes="n",
            dtype=self.variable_dtype,
            name="heads",
        )

    def place_of_amount(self, count: int) -> int:
        """Returns which of `count` heads reads what the amount's head reads: the last step's."""
        return self.num_tasks - 1

    def with_amount(self, logits: Tensor, of_heads: Tensor) -> Tensor:
        """Puts the amount's columns behind logits that were made of the heads' other columns.

        Args:
            logits: [B, C].
            of_heads: What the heads gave, the amount's columns last.

        Returns:
            [B, C + 2]; without an amount `logits` themselves.
        """
        if not self.amount_columns:
            return logits
        of_amount = of_heads[:, -self.amount_columns :]
        return ops.concatenate([logits, of_amount], axis=-1)

    def finish(self, width: int, count: int | None = None) -> None:
        """Makes and builds the heads, which read `width` numbers each; the model is built then."""
        count = count or self.num_tasks
        self.heads = self.make_heads(count)
        self.heads.build((None, count, width))
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes nothing: constructors make all weights, whose shapes do not depend on the input."""
        self.built = True

    def call(self, inputs: Inputs, training: bool = False) -> Tensor:
        """Computes the logits: ids [B, S] -> [B, N]."""
        self.check(inputs)
        h = self.embed(inputs, training)  # [B, F, d]

        def logits(rows: Tensor) -> Tensor:
            return self.logits(rows, training)

        return self.in_pieces(logits, h)

    def logits(self, h: Tensor, training: bool = False) -> Tensor:
        """Computes what a call returns, [B, N], from what `embed` gives."""
        logits = self.score(h, training)
        return self._multiply(logits) if self._multiplies else logits

    def _multiply(self, logits: Tensor) -> Tensor:
        """Turns the first N columns from logits of conditional steps into those of f."""
        n = self.num_tasks
        of_steps = product_logits(logits[:, :n])
        others = logits[:, n:]  # columns for the model's own loss, and the amount's
        return ops.concatenate([of_steps, others], axis=-1)

    def embed(self, inputs: Inputs, training: bool) -> Tensor:
        """Embeds: ids [B, S] -> H [B, F, d]."""
        h = self.embedding(inputs)
        if training:
            self.penalize(h)
        return h

    def penalize(self, h: Tensor) -> None:
        """Adds `embedding_l2` times the squares of embeddings [B, F, d] to the loss."""
        if not self.embedding_l2:
            return
        h = ops.cast(h, self.variable_dtype)
        of_rows = ops.sum(ops.square(h), axis=(1, 2))  # [B]
        self.add_loss_of_batch(self.embedding_l2 * ops.mean(of_rows))

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes the heads' logits [B, N] from H [B, F, d]: the architecture itself."""
        raise NotImplementedError

    def flatten(self, h: Tensor) -> Tensor:
        """Lays the embeddings of a row side by side: [B, F, d] -> [B, F d]."""
        return ops.reshape(h, (-1, self.flat_size))

    def embeddings_of_model(self) -> Sequence[Embedding]:
        """Returns the embedding layers, in the order of their weights."""
        return [self.embedding]

    def tables(self) -> list[FusedEmbedding]:
        """Returns the layers that hold an embedding table, in the order of their weights."""
        tables = []
        for layer in self.embeddings_of_model():
            tables += layer.tables()
        return tables

    def fields_of_tables(self) -> list[list[int]]:
        """Returns, for each of `tables()`, the places of the fields that read it."""
        fields = []
        for layer in self.embeddings_of_model():
            fields += layer.fields_of_tables()
        return fields

    def rows_read(self, inputs: Inputs) -> list[Tensor]:
        """Returns, for each of `tables()`, the rows that a call with these inputs reads, [B, S]."""
        rows = []
        for layer in self.embeddings_of_model():
            rows += layer.rows_read(inputs)
        return rows

    def schedules(self) -> list[GammaSchedule]:
        """Returns the schedules that count training steps; none unless the model has a gamma."""
        return []

    def shift_logits(self, by: Tensor) -> None:
        """Adds a constant to each logit for good.

        Args:
            by: The constants, [N]. If f is a product, they are added to the logits of the
                conditional probabilities.
        """
        n = self.num_tasks
        bias = self.heads.bias
        moved = bias[:n] + ops.cast(by, bias.dtype)
        others = bias[n:]  # heads for the model's own loss
        bias.assign(ops.concatenate([moved, others]))

    def start_amount(self, mean: float, deviation: float) -> None:
        """Lets the amount start at the mean and the standard deviation of log amounts."""
        start = log_normal.start_of(mean, deviation)
        self.heads.amount_bias.assign(start)

    def scale_amount(self, log_factor: float) -> None:
        """Multiplies all amounts by exp(log_factor) for good."""
        bias = self.heads.amount_bias
        bias.assign_add(ops.convert_to_tensor([log_factor, 0.0], dtype=bias.dtype))

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of the architecture's own paper.

        Args:
            task_weights: Weights w_1, ..., w_N of the tasks; all 1 by default.
            **kwargs: Arguments of `FunnelLoss`, which win over those of the paper.
        """
        settings = self.loss_settings(kwargs)
        return FunnelLoss(task_weights, **settings)

    def loss_settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments of `FunnelLoss`: the model's own, or those given in their place."""
        return {
            "dependence_weight": 0.0,
            "conditional_weight": self.arguments["conditional_weight"],
            "amount_weight": 1.0 if self.amount_columns else None,
            **given,
        }
