"""What a served model can be asked: a function from inputs to outputs per signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.export import kernel_marks, serving_form
from tafe_tf.export.description import FIELDS_SIGNATURE, describe
from tafe_tf.export.description import OUTPUT as DESCRIPTION
from tafe_tf.export.description import SIGNATURE as DESCRIBE_SIGNATURE
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.features.graph import Features
from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import ABSENT, MISSING, RANK_SCORE, SCORE, UNSEEN, Schema

Outputs = dict[str, tf.Tensor]
Serve = Callable[..., Outputs]
Calibrate = Callable[[tf.Tensor], tf.Tensor]


class Signatures:
    """The functions behind the signatures of an export.

    `serving_default` takes raw columns, each by the name `Column.input`, and gives every output. A
    signature that is named as an output gives that output alone. `examples` takes serialized
    tf.Examples of the same columns, by the columns' own names. If some features, but not all, have
    side "user", `rank` takes their columns with one row and the others with n rows, and scores the
    n items for the one user, whose sequences are looked up once.

    If the schema has a score, `score` takes its inputs beside the columns, one number a row each,
    and gives the score alone; `rank_score` does so for the n items of `rank`.

    `fields` takes what `serving_default` takes, and tells of each row which fields have missing and
    unseen values. `describe` tells, whatever text it is given, what `export.description` says of
    the export, as JSON.

    All signatures share one graph, in which the dense weights are constants: what follows from them
    alone (folded queries, gamma's smooth step) the runtime computes once, when it loads the model.
    Embedding tables stay variables.

    Args:
        model: The trained model.
        features: Its feature graph.
        calibrate: A function from logits to calibrated logits, [B, N] both. None, the default,
            leaves the logits as they are.
        description: What `describe` tells. The default, None, is the schema's description without
            the shares of training.
    """

    def __init__(
        self,
        model: FunnelModel,
        features: Features,
        calibrate: Calibrate | None = None,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        self._features = features
        self._schema = features.schema
        self._description = description or describe(self._schema, {})
        scorer = _scorer(model, self._schema, calibrate)
        self._score: Serve = tf.function(
            scorer,
            input_signature=[features.model_signature],
            autograph=False,
        )
        self._score_ranked: Serve | None = None
        ranked = features.ranked_signature
        if ranked is not None:
            self._score_ranked = tf.function(scorer, input_signature=[ranked], autograph=False)

    def functions(self) -> dict[str, tuple[Serve, list[Any]]]:
        """The function and the input signature of each signature, by its name."""
        columns = {spec.name: spec for spec in self._features.signature.values()}
        serialized = tf.TensorSpec([None], tf.string, "examples")
        functions: dict[str, tuple[Serve, list[Any]]] = {
            DEFAULT_SIGNATURE: (self.inputs, [columns])
        }
        for name in self._schema.output_names:
            only_this = _only(self.inputs, name)
            functions[name] = (only_this, [columns])
        functions["examples"] = (self.examples, [serialized])
        if 0 < len(self._schema.user_inputs) < len(columns):
            functions["rank"] = (self.rank, [columns])
        if self._schema.score is not None:
            further = {
                name: tf.TensorSpec([None], tf.float32, name) for name in self._schema.score.inputs
            }
            functions[SCORE] = (self.score, [columns | further])
            if "rank" in functions:
                functions[RANK_SCORE] = (self.rank_score, [columns | further])
        functions[FIELDS_SIGNATURE] = (self.fields, [columns])
        text = tf.TensorSpec([None], tf.string, DESCRIBE_SIGNATURE)
        functions[DESCRIBE_SIGNATURE] = (self.describe, [text])
        return functions

    def inputs(self, inputs: Mapping[str, Any]) -> Outputs:
        """Scores raw columns by the names of their inputs; see `columns`."""
        return self.columns(self._by_column(inputs))

    def _by_column(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of a request by the names of the raw columns."""
        return {column.name: inputs[column.input] for column in self._schema.served_inputs}

    def columns(self, columns: Mapping[str, Any]) -> Outputs:
        """Scores raw columns, [B] each, lists [B, any length]; each output is [B]."""
        return self._score(self._features(columns))

    def examples(self, examples: tf.Tensor) -> Outputs:
        """Scores serialized tf.Examples, [B]; what an example lacks is a missing value."""
        parsed = tf.io.parse_example(examples, self._parsing())
        columns = {}
        absent = {column.name: ABSENT[column.dtype] for column in self._schema.served_inputs}
        for name, values in parsed.items():
            if isinstance(values, tf.RaggedTensor):
                values = values.to_tensor(absent[name])
            columns[name] = values
        return self.columns(columns)

    def _parsing(self) -> dict[str, Any]:
        """How to parse each column from a tf.Example."""
        parsing: dict[str, Any] = {}
        for column in self._schema.served_inputs:
            dtype = tf.dtypes.as_dtype(column.dtype)
            absent = ABSENT[column.dtype]
            if column.is_exact:
                sizes = [column.max_length]
                nothing = [absent] * column.max_length
                parsing[column.name] = tf.io.FixedLenFeature(sizes, dtype, nothing)
            elif column.max_length:
                parsing[column.name] = tf.io.RaggedFeature(dtype)
            else:
                parsing[column.name] = tf.io.FixedLenFeature([], dtype, absent)
        return parsing

    def rank(self, inputs: Mapping[str, Any]) -> Outputs:
        """Scores n items for one user: user columns are [1], item columns and outputs [n]."""
        columns = self._by_column(inputs)
        user = self._schema.user_inputs
        items = [column.name for column in self._schema.served_inputs if column.name not in user]
        first_item = columns[items[0]]
        count = tf.shape(first_item)[0]
        rows = dict(columns)
        for name in user:
            values = columns[name]
            of_one_row = tf.shape(values)[1:]
            shape = tf.concat([[count], of_one_row], 0)
            rows[name] = tf.broadcast_to(values, shape)
        if self._score_ranked is None:
            return self.columns(rows)
        return self._score_ranked(self._features.ranked(rows, columns))

    def score(self, inputs: Mapping[str, Any]) -> Outputs:
        """Computes the score of raw columns and of its own inputs, [B] each."""
        return self._of_score(self.inputs(inputs), inputs)

    def rank_score(self, inputs: Mapping[str, Any]) -> Outputs:
        """Computes the score of n items for one user: its own inputs are [n], as the items'."""
        return self._of_score(self.rank(inputs), inputs)

    def _of_score(self, outputs: Outputs, inputs: Mapping[str, Any]) -> Outputs:
        score = self._schema.score
        assert score is not None
        return {SCORE: score({**inputs, **outputs})}

    def fields(self, inputs: Mapping[str, Any]) -> Outputs:
        """Tells of raw columns, [B], how many values of each of the F fields are what.

        Returns:
            float32 [B, F] each: "values", the number of values, where an empty list has one, a
            missing one; and "missing" and "unseen", their shares of these values.
        """
        model_inputs = self._features(self._by_column(inputs))
        ids = self._features.counted_ids(model_inputs)
        present = self._by_field(ids != MISSING)
        unseen = self._by_field(ids == UNSEEN)
        values = tf.maximum(present, 1.0)
        return {
            "values": values,
            "missing": tf.cast(present == 0.0, tf.float32),
            "unseen": unseen / values,
        }

    def _by_field(self, slots: tf.Tensor) -> tf.Tensor:
        """How many of the slots of each field are true, [B, S] -> float32 [B, F]."""
        counts = self._features.counted_slots
        fields = np.arange(len(counts))
        field_of_slot = np.repeat(fields, counts)
        is_of_field = field_of_slot[:, None] == fields  # [S, F]
        return tf.matmul(tf.cast(slots, tf.float32), tf.constant(is_of_field, tf.float32))

    def describe(self, text: tf.Tensor) -> Outputs:
        """Tells what the export is, once for each text, [B]."""
        description = json.dumps(self._description)
        return {DESCRIPTION: tf.fill(tf.shape(text), description)}


def _scorer(
    model: FunnelModel,
    schema: Schema,
    calibrate: Calibrate | None,
) -> Serve:
    """Makes the function from model inputs to named probabilities."""
    stored: set[int] = set()
    for layer in model.tables():
        stored.update(id(variable) for variable in layer.variables)
    dense = []
    for variable in model.variables:
        if id(variable) not in stored:
            value = keras.ops.convert_to_numpy(variable)
            dense.append((variable, value))

    def score(inputs: Any) -> Outputs:
        constants = [(variable, tf.constant(value)) for variable, value in dense]
        of_constants = keras.StatelessScope(state_mapping=constants)
        with of_constants, serving_form.used(model), kernel_marks.used(model):
            logits = model(inputs, training=False)
        if calibrate is not None:
            logits = calibrate(logits)
        return probabilities(logits, schema)

    return score


def _only(serve: Serve, name: str) -> Serve:
    """Makes the function that gives one output alone."""

    def serve_one(columns: Mapping[str, Any]) -> Outputs:
        return {name: serve(columns)[name]}

    return serve_one
