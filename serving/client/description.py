"""What a model says of its inputs and its fields."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.data.field_counts import KINDS, FieldCounts, Shares, training_shares
from tafe_tf.serving.client.columns import Types
from tafe_tf.serving.wire.errors import WrongAnswerError
from tafe_tf.shown import cut, shown

# The signatures of an export that tell what it is, and what the values of rows are.
DESCRIBE = "describe"  # the name of its input too
DESCRIPTION = "description"
FIELDS = "fields"

_MOST_VALUES = float(1 << 31)  # of one field in one row


@dataclasses.dataclass(frozen=True)
class Seen:
    """Which values of some rows the model knows from training.

    Attributes:
        counts: The values of each field, and those that are missing or unseen.
        training: The shares in the training rows, by "missing" and "unseen" and then by field;
            fields are left out where they are not known.
        version: The number of the version that told.

    Example:
        >>> import numpy as np
        >>> from tafe_tf.data.field_counts import FieldCounts
        >>> from tafe_tf.serving.client.description import Seen
        >>> counts = FieldCounts(["user"])
        >>> counts.merge(np.array([[400, 4, 300]]))
        >>> seen = Seen(counts, {"missing": {"user": 0.01}, "unseen": {"user": 0.1}}, version=3)
        >>> seen.unseen, seen.missing
        ({'user': 0.75}, {'user': 0.01})
        >>> seen.jumps
        ["field 'user': 75.0% of its values are unseen, and 10.0% were in training"]
    """

    counts: FieldCounts
    training: Mapping[str, Shares]
    version: int

    @property
    def unseen(self) -> dict[str, float]:
        """The share of unseen values, by field."""
        return self.counts.shares("unseen")

    @property
    def missing(self) -> dict[str, float]:
        """The share of missing values, by field."""
        return self.counts.shares("missing")

    @property
    def jumps(self) -> list[str]:
        """A sentence for each share that is far above that of training."""
        return self.counts.jumps(self.training)


class Description:
    """What a version of a model says of itself.

    Args:
        text: The JSON that the signature `describe` answers.
        version: The number of the version that answered.

    Attributes:
        version: The number of the version.
        fields: The names of the fields, in the order of the signature `fields`.
        training: The shares in the training rows, see `Seen`.

    Raises:
        WrongAnswerError: If the text is not JSON, or does not say what an export says.
    """

    def __init__(self, text: bytes, version: int) -> None:
        try:
            described = _checked(json.loads(text))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
            raise WrongAnswerError(f"{DESCRIBE!r} is no description: {cut(what)}") from None
        self.version = version
        self.fields = [field["name"] for field in described["fields"]]
        self.training = training_shares(described)
        self._inputs = {item["name"]: item for item in described["inputs"]}
        self._missing = tuple(described["missing"])

    def complete(self, inputs: Types) -> Types:
        """Adds to what a signature takes the columns, the separators and the missing texts.

        A number that no column of the schema gives is an input of the schema's score.
        """
        completed = Types()
        completed.missing = self._missing
        for name, wanted in inputs.items():
            known = self._inputs.get(name)
            if known is not None:
                wanted = wanted._replace(column=known["column"], separator=known["separator"])
            elif wanted.dtype.kind == "f":  # no column of the schema
                wanted = wanted._replace(is_of_score=True)
            completed[name] = wanted
        return completed

    def seen(self, answer: Mapping[str, np.ndarray], version: int) -> Seen:
        """What the signature `fields` answered.

        Raises:
            WrongAnswerError: If it is not three numbers for each row and field.
        """
        if set(answer) != {"values", *KINDS}:
            raise WrongAnswerError(f"{FIELDS!r} has the outputs {shown(sorted(answer))}")
        for name, numbers in answer.items():
            if numbers.shape[1:] != (len(self.fields),) or numbers.dtype.kind not in "fi":
                raise WrongAnswerError(f"{FIELDS!r}, output {name!r}: is no number for each field")
            most = _MOST_VALUES if name == "values" else 1.0
            if not ((numbers >= 0.0) & (numbers <= most)).all():  # which NaN is not either
                raise WrongAnswerError(f"{FIELDS!r}, output {name!r}: must be from 0 to {most:g}")
        counts = FieldCounts(self.fields)
        counts.add_rows(**answer)
        return Seen(counts, self.training, version)


def _checked(described: dict[str, Any]) -> dict[str, Any]:
    """A description, if it has what is read of it.

    Raises:
        LookupError, TypeError or ValueError: If it has not.
    """
    _texts(described["missing"])
    for item in described["inputs"]:
        _texts([item["name"], item["column"], item["separator"]])
        if len(item["separator"]) != 1:
            raise ValueError(f"separator {shown(item['separator'])}")
    for field in described["fields"]:
        _texts([field["name"]])
        for kind in KINDS:
            if field[kind] is not None and not 0.0 <= field[kind] <= 1.0:
                raise ValueError(f"{kind} = {shown(field[kind])}")
    return described


def _texts(values: Any) -> None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"no texts: {shown(values)}")
