"""What a model says of itself: its signatures, and for an export of ours a description."""

from __future__ import annotations

from typing import Any, NamedTuple

from tafe_tf.serving.client import answers, columns
from tafe_tf.serving.client.answers import OutputType
from tafe_tf.serving.client.columns import Types
from tafe_tf.serving.client.description import Description


class Signature(NamedTuple):
    """What a signature takes and gives, by name."""

    inputs: Types
    outputs: dict[str, OutputType]

    def differs(self, other: Signature) -> bool:
        """Whether rows have to be sent or read in another way."""
        return self != other or self.inputs.missing != other.inputs.missing


class Model(NamedTuple):
    """What a model says of itself.

    Attributes:
        signatures: Its `SignatureDef`s by name.
        description: What its signature `describe` answers; None if it has none.
    """

    signatures: dict[str, Any]
    description: Description | None

    def signature(self, name: str) -> Signature:
        """What one of its signatures takes and gives."""
        signature = self.signatures[name]
        inputs = columns.types(signature.inputs)
        if self.description is not None:
            inputs = self.description.complete(inputs)
        return Signature(inputs, answers.output_types(signature.outputs))

    def describes(self, version: int) -> bool:
        """Whether this is what a version says of itself, or no version says anything."""
        return self.description is None or self.description.version == version
