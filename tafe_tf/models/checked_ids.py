"""Keras's own methods, which take ids from anywhere, with a check of the ids."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tafe_tf.layers.embedding import by_name, slots_of
from tafe_tf.layers.id_check import check_ids
from tafe_tf.types import Inputs


class CheckedIds(keras.Model):
    """A model that refuses ids outside the rows of their field.

    `fit`, `evaluate` and `predict` check arrays before the first step, and datasets and generators
    batch by batch; a `keras.utils.PyDataset` is not checked. `model(ids)` checks ids that have
    values. Inside a compiled function nothing is checked: there ids come from `Features`, which
    gives no wrong ones.

    Attributes:
        field_names: The names of the fields, for error messages; they are no part of the model's
            configuration. By default, (), fields are numbered.
    """

    field_names: Sequence[str] = ()

    def check(self, inputs: Inputs) -> None:
        """Raises ValueError if an id lies outside its field's rows; symbols are passed over."""
        given = self.arguments
        named = by_name(inputs)
        if "once_ids" in named:  # only an export's `rank` has them, whose ids `Features` gives
            return
        check_ids(
            named["ids"],
            given["field_rows"],
            slots_of(given["field_rows"], given["slots"]),
            self.field_names,
        )

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does."""
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple):
            inputs, *rest = validation
            kwargs["validation_data"] = (self._checked(inputs), *rest)
        elif validation is not None:
            kwargs["validation_data"] = self._checked(validation)
        return super().fit(self._checked(x), y, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates as `keras.Model.evaluate` does."""
        return super().evaluate(self._checked(x), y, **kwargs)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Computes logits as `keras.Model.predict` does."""
        return super().predict(self._checked(x), **kwargs)

    def _checked(self, x: Any) -> Any:
        """The same data, checked now or as its batches are drawn."""
        if hasattr(x, "element_spec"):
            return self._checked_dataset(x)
        if inspect.isgenerator(x):
            return self._checked_batches(x)
        if isinstance(x, Mapping) or hasattr(x, "shape"):
            self.check(x)
        return x

    def _checked_batches(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            inputs = batch[0] if isinstance(batch, tuple) else batch
            self.check(inputs)
            yield batch

    def _checked_dataset(self, dataset: Any) -> Any:
        """A `tf.data.Dataset` of the same batches."""
        tf = sys.modules["tensorflow"]  # no model needs it, but whoever gives a dataset has it

        def checked_ids(ids: np.ndarray) -> np.ndarray:
            self.check(ids)
            return ids

        def checked(*batch: Any) -> Any:
            inputs, *rest = batch
            ids = by_name(inputs)["ids"]
            same = tf.numpy_function(checked_ids, [ids], ids.dtype)
            same.set_shape(ids.shape)
            named = {**inputs, "ids": same} if isinstance(inputs, Mapping) else same
            return (named, *rest) if rest else named

        return dataset.map(checked)
