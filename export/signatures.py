"""What a served model can be asked: each signature as a function from its inputs to named probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.export.table_storage import embeddings
from tafe_tf.features.graph import Features
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import ABSENT, Schema

Outputs = dict[str, Any]
Serve = Callable[..., Outputs]
Calibrate = Callable[[Any], Any]


class Signatures:
    """The functions behind the signatures of an export.

    `serving_default` takes raw columns and gives every output, a signature named as an output gives that one;
    `examples` takes serialized tf.Examples of the same columns. If some features have side "user", `rank` takes
    their columns with one row and the others with n rows, and scores the n items for the one user.

    All share one graph, in which the dense weights are constants: what they determine alone (folded queries, gamma's
    smooth step) the runtime computes once, when it loads the model. Embedding tables stay variables.

    Args:
        model: the trained model.
        features: its feature graph.
        calibrate: logits -> calibrated logits, or None.
    """

    def __init__(
        self, model: keras.Model, features: Features, calibrate: Calibrate | None = None
    ) -> None:
        self._features, self._schema = features, features.schema
        self._score = tf.function(
            _scorer(model, self._schema, calibrate), input_signature=[features.model_signature]
        )

    def functions(self) -> dict[str, tuple[Serve, list[Any]]]:
        """Functions and their input signatures by name."""
        schema, columns = self._schema, self._features.signature
        named: dict[str, tuple[Serve, list[Any]]] = {DEFAULT_SIGNATURE: (self.columns, [columns])}
        for name in (*schema.step_names, *schema.conditional_names):
            named[name] = (_only(self.columns, name), [columns])
        named["examples"] = (self.examples, [tf.TensorSpec([None], tf.string, "examples")])
        if 0 < len(schema.user_inputs) < len(columns):
            named["rank"] = (self.rank, [columns])
        return named

    def columns(self, columns: Mapping[str, Any]) -> Outputs:
        """Raw columns, [B] each (lists [B, any length]) -> outputs [B]."""
        return self._score(self._features(columns))

    def examples(self, examples: Any) -> Outputs:
        """Serialized tf.Examples [B] -> outputs [B]; a feature that an example lacks is missing."""
        lists = {c.name for c in self._schema.inputs if c.max_length}
        kinds = {
            c.name: (tf.dtypes.as_dtype(c.dtype), ABSENT[c.dtype]) for c in self._schema.inputs
        }
        parsed = tf.io.parse_example(
            examples,
            {
                name: tf.io.RaggedFeature(dtype)
                if name in lists
                else tf.io.FixedLenFeature([], dtype, absent)
                for name, (dtype, absent) in kinds.items()
            },
        )
        return self.columns(
            {n: x.to_tensor(kinds[n][1]) if n in lists else x for n, x in parsed.items()}
        )

    def rank(self, columns: Mapping[str, Any]) -> Outputs:
        """User columns [1] and item columns [n] -> outputs [n]."""
        user = self._schema.user_inputs
        n = tf.shape(next(columns[c.name] for c in self._schema.inputs if c.name not in user))[0]
        once = {name: columns[name] for name in user}
        tiled = {
            name: tf.broadcast_to(x, tf.concat([[n], tf.shape(x)[1:]], 0))
            for name, x in once.items()
        }
        return self.columns({**columns, **tiled})


def _scorer(model: keras.Model, schema: Schema, calibrate: Calibrate | None) -> Serve:
    """Model inputs -> named probabilities."""
    stored = {id(variable) for layer in embeddings(model) for variable in layer.variables}
    dense = [(v, keras.ops.convert_to_numpy(v)) for v in model.variables if id(v) not in stored]

    def score(inputs: Any) -> Outputs:
        with keras.StatelessScope(state_mapping=[(v, tf.constant(value)) for v, value in dense]):
            logits = model(inputs, training=False)
        return probabilities(logits if calibrate is None else calibrate(logits), schema)

    return score


def _only(serve: Serve, name: str) -> Serve:
    def serve_one(columns: Mapping[str, Any]) -> Outputs:
        return {name: serve(columns)[name]}

    return serve_one
