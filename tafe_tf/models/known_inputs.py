"""A model that `keras.Model.export` can write without being told what it takes."""

from __future__ import annotations

import pathlib
from typing import Any

import keras

from tafe_tf.layers.embedding import slots_of
from tafe_tf.layers.encoders import widths


class KnownInputs(keras.Model):
    """A model of ids whose inputs follow from its arguments.

    Keras finds out what a model takes when it builds the model in its first call. Ours are built by
    their constructors, so it never does.
    """

    arguments: dict[str, Any]

    def input_signature(self) -> list[Any]:
        """What one call takes: ids, int32 [B, S], with pooling weights if some field holds lists.

        Returns:
            A list of one: the ids' `keras.InputSpec`, or a dict with those of "ids", "weights" and
            what the model's encoders read, see `FieldEmbedding`.
        """
        slots = slots_of(self.arguments["field_rows"], self.arguments["slots"])
        shape = (None, sum(slots))
        ids = keras.InputSpec(shape=shape, dtype="int32")
        inputs = {"ids": ids}
        if max(slots) > 1:
            inputs["weights"] = keras.InputSpec(shape=shape, dtype="float32")
        further = widths(self.arguments["encoders"] or [])
        for name, width in further.items():
            inputs[name] = keras.InputSpec(shape=(None, width), dtype="float32")
        return [ids] if len(inputs) == 1 else [inputs]

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
