"""A model that `keras.Model.export` can write without being told what it takes."""

from __future__ import annotations

import pathlib
from typing import Any

import keras

from tafe_tf.layers.embedding import slots_of


class KnownInputs(keras.Model):
    """A model of ids whose inputs follow from its arguments.

    Keras finds out what a model takes when it builds the model in its first call. Ours are built by
    their constructors, so it never does.
    """

    arguments: dict[str, Any]

    def input_signature(self) -> list[Any]:
        """What one call takes: ids, int32 [B, S], with pooling weights if some field holds lists.

        Returns:
            A list of one: the ids' `keras.InputSpec`, or a dict with those of "ids" and "weights".
        """
        slots = slots_of(self.arguments["field_rows"], self.arguments["slots"])
        shape = (None, sum(slots))
        ids = keras.InputSpec(shape=shape, dtype="int32")
        if max(slots) == 1:
            return [ids]
        return [{"ids": ids, "weights": keras.InputSpec(shape=shape, dtype="float32")}]

    def export(
        self,
        filepath: str | pathlib.Path,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the model of ids, as `keras.Model.export` does.

        `tafe_tf.export.publish` exports a run with its feature graph, which takes raw columns.

        Args:
            filepath: Where to write.
            format: Of the file. Default: "tf_saved_model".
            verbose: Whether to print where it lies. Default: None, which is Keras's own.
            input_signature: What a call takes. Default: None, what `input_signature` says.
            **kwargs: Further arguments of `keras.Model.export`.
        """
        signature = input_signature or self.input_signature()
        super().export(filepath, format, verbose, signature, **kwargs)
