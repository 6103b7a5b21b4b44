"""What TAFE's selectors do to rows: how many units they open, how hard, and for whom.

The selector of a block gives each row z, [K], numbers from 0 to 1 (eq. 14-16). The paper calls the
share of z that is not 0 the row's selection rate (section 4.4).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from tafe_tf.layers import ASRG, GammaSchedule
from tafe_tf.layers.selector import smooth_step
from tafe_tf.models.tafe import TAFE
from tafe_tf.types import Tensor

EMBEDDINGS = 6000  # rows whose embeddings are kept, at most
_EDGE = 1e-6  # nearer to 0 or 1 is at it
_SOFT = 0.5  # of the openings, below which a selector is soft
_HARD = 0.99  # of the openings, from which on it is hard
_SEEN = 0.05  # of gamma's decay, before which the curve is as at the start
_FIXED = 0.9  # of the units, from which on a selector is nearly constant
_ALIKE = 0.01  # standard deviation of an opening over rows, below which they are treated alike


def has_selectors(model: keras.Model) -> bool:
    """Whether a model is a TAFE with ASRG blocks."""
    return isinstance(model, TAFE) and any(isinstance(block, ASRG) for block in model.blocks)


class Probe:
    """A TAFE that also says what its selectors did, for an `Evaluator`.

    Args:
        model: The model, see `has_selectors`.

    Call arguments:
        inputs: Those of the model, B rows.
        training: Must be false.

    Returns:
        The model's output, z of each block, and the embeddings H side by side: [B, N + L K + F d].
    """

    def __init__(self, model: TAFE) -> None:
        self._model = model
        self.blocks = len(model.blocks)
        self.units = model.blocks[0].num_inducing

    @property
    def pieces(self) -> Any:
        """In how many pieces the model computes a batch; `Evaluator` sets it."""
        return self._model.pieces

    @pieces.setter
    def pieces(self, pieces: Any) -> None:
        self._model.pieces = pieces

    def __call__(self, inputs: Any, training: bool = False) -> Tensor:
        """Computes what the class's docstring says."""
        model = self._model
        outputs = model(inputs, training=training)
        h = model.embed(inputs, False)  # [B, F, d]
        gamma = model.gamma.value()
        y = h
        parts = [ops.cast(outputs, "float32")]
        for block in model.blocks:
            parts.append(ops.cast(block.selector(y, gamma=gamma), "float32"))  # [B, K]
            y = block(y, gamma, training=False)  # [B, K, d]
        parts.append(ops.cast(model.flatten(h), "float32"))
        return ops.concatenate(parts, axis=-1)

    def split(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Takes a batch of what a call returns apart.

        Args:
            outputs: [B, N + L K + F d].

        Returns:
            The model's output, z [B, L, K], and the embeddings [B, F d].
        """
        size = self._model.flat_size
        width = self.blocks * self.units
        end = outputs.shape[1] - size
        z = outputs[:, end - width : end]
        z = z.reshape(len(outputs), self.blocks, self.units)
        return outputs[:, : end - width], z, outputs[:, end:]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What the selectors of L blocks with K units did to n rows.

    Attributes:
        rates: The share of units whose z is not 0, by row and block, [n, L].
        openings: The mean of z, by row and block, [n, L].
        hard: The share of all z of a block that are exactly 0 or 1, [L].
        unit_means: The mean of z over rows, [L, K].
        unit_deviations: The standard deviation of z over rows, [L, K].
        sampled: Which rows have embeddings here, [m].
        embeddings: Theirs, [m, F d].
    """

    rates: np.ndarray
    openings: np.ndarray
    hard: np.ndarray
    unit_means: np.ndarray
    unit_deviations: np.ndarray
    sampled: np.ndarray
    embeddings: np.ndarray


class SelectionCounts:
    """Collects what selectors did, batch by batch.

    Of the embeddings every s-th row is kept; s doubles whenever more than twice `EMBEDDINGS` are.

    Args:
        blocks: Number of blocks, L.
        units: Number of units of each, K.
    """

    def __init__(self, blocks: int, units: int) -> None:
        self._rates: list[np.ndarray] = [np.zeros((0, blocks), np.float32)]
        self._openings: list[np.ndarray] = [np.zeros((0, blocks), np.float32)]
        self._sum = np.zeros((blocks, units))
        self._squares = np.zeros((blocks, units))
        self._hard = np.zeros(blocks)
        self._every = 1
        self._sampled = np.zeros(0, np.int64)
        self._embeddings: np.ndarray | None = None
        self._rows = 0

    def add(self, z: np.ndarray, embeddings: np.ndarray) -> None:
        """Adds rows.

        Args:
            z: [B, L, K].
            embeddings: [B, F d].
        """
        is_open = z > _EDGE
        is_full = z > 1 - _EDGE
        self._rates.append(is_open.mean(axis=2, dtype=np.float32))
        self._openings.append(z.mean(axis=2, dtype=np.float32))
        wide = z.astype(np.float64)
        self._sum += wide.sum(axis=0)
        self._squares += (wide * wide).sum(axis=0)
        self._hard += (~is_open | is_full).mean(axis=2).sum(axis=0)
        self._keep(embeddings)
        self._rows += len(z)

    def _keep(self, embeddings: np.ndarray) -> None:
        numbers = self._rows + np.arange(len(embeddings))
        is_kept = numbers % self._every == 0
        known = self._embeddings
        if known is None:
            known = embeddings[:0]
        self._embeddings = np.concatenate([known, embeddings[is_kept]])
        self._sampled = np.concatenate([self._sampled, numbers[is_kept]])
        while len(self._sampled) > 2 * EMBEDDINGS:
            self._every *= 2
            is_kept = self._sampled % self._every == 0
            self._embeddings = self._embeddings[is_kept]
            self._sampled = self._sampled[is_kept]

    def result(self) -> Selection:
        """What all rows say."""
        rows = max(self._rows, 1)
        means = self._sum / rows
        variances = np.maximum(self._squares / rows - means * means, 0.0)
        none = np.zeros((0, 0), np.float32)
        return Selection(
            rates=np.concatenate(self._rates),
            openings=np.concatenate(self._openings),
            hard=self._hard / rows,
            unit_means=means,
            unit_deviations=np.sqrt(variances),
            sampled=self._sampled,
            embeddings=none if self._embeddings is None else self._embeddings,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a block's selector does, in plain words.

    Attributes:
        hardness: Whether z is 0 or 1.
        difference: Whether it differs between rows.
        collapse: Whether all units are closed for all rows, or nearly all do the same for all.
    """

    hardness: str
    difference: str
    collapse: str


def reading(selection: Selection, block: int) -> Reading:
    """Reads what a block's selector did.

    A selector is hard if 99 % of all z are exactly 0 or 1, and soft if less than half are. It
    treats rows alike if the standard deviation of z over rows is on average below 0.01. It has
    collapsed if every unit is closed for all rows, and is nearly constant if nine of ten units are
    closed for all rows or fully open for all.

    Args:
        selection: What all blocks did.
        block: Which block, from 0.
    """
    hard = float(selection.hard[block])
    name = "partly hard"
    if hard >= _HARD:
        name = "hard"
    elif hard < _SOFT:
        name = "soft"
    deviation = float(selection.unit_deviations[block].mean())
    difference = f"differs between rows (z has a standard deviation of {deviation:.3f} over rows)"
    if deviation < _ALIKE:
        difference = (
            f"treats all rows alike (z has a standard deviation of {deviation:.4f} over rows)"
        )
    means = selection.unit_means[block]
    closed = int((means <= _EDGE).sum())
    always = int((means >= 1 - _EDGE).sum())
    fixed = f"{closed} of {len(means)} units are closed and {always} fully open for all rows"
    collapse = f"no: {fixed}"
    if closed == len(means):
        collapse = "collapsed: all units are closed for all rows"
    elif closed + always >= _FIXED * len(means):
        collapse = f"nearly constant: {fixed}"
    return Reading(
        hardness=f"{name}: {hard:.1%} of z are exactly 0 or 1",
        difference=difference,
        collapse=collapse,
    )


def by_rate(selection: Selection, block: int, share: float = 0.01) -> dict[str, np.ndarray]:
    """The sampled rows with high, middle and low selection rates, as in Figure 7b.

    Rows are ordered by their rate, and rows of one rate by the mean of z, which tells them apart
    where the selector is soft.

    Args:
        selection: What all blocks did.
        block: Whose rates, from 0.
        share: Of the sampled rows in each of the three groups, at least one row. Default: 1 %.

    Returns:
        Indices into `selection.embeddings` by "high", "middle" and "low".
    """
    rates = selection.rates[selection.sampled, block]
    openings = selection.openings[selection.sampled, block]
    order = np.lexsort((openings, rates))
    count = max(round(share * len(order)), 1)
    start = max((len(order) - count) // 2, 0)
    return {
        "high": order[-count:],
        "middle": order[start : start + count],
        "low": order[:count],
    }


def plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """The first two principal components of vectors.

    Args:
        vectors: [m, n].

    Returns:
        Their places in the plane, [m, 2], and the share of the variance that it shows.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ axes[:2].T
    if places.shape[1] < 2:
        places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    variance = singular**2
    total = variance.sum()
    shown = float(variance[:2].sum() / total) if total > 0 else 1.0
    return places, shown


def smooth_steps(
    gamma: GammaSchedule,
    points: int = 121,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The function f_D at steps of a run, as in Figure 5.

    Args:
        gamma: The schedule of a trained model, at the step of its weights.
        points: How many numbers to give f_D at. Default: 121.

    Returns:
        The numbers z, [points], and by the step's name f_D(z), [points]: at the run's start, middle
        and end, and, where gamma had not come to its end then, where it would.
    """
    step = int(keras.ops.convert_to_numpy(gamma.step))
    steps = {0: "start"}
    if step > _SEEN * gamma.decay_steps:
        steps[step // 2] = ""
    steps[step] = "this model"
    if step < gamma.decay_steps:
        steps[round((step + gamma.decay_steps) / 2)] = "to come"
        steps[round(gamma.decay_steps)] = "to come"
    half = 0.6 * gamma.start
    z = np.linspace(-half, half, points)
    found = {}
    for at, what in steps.items():
        width = max(gamma.start * (1.0 - at / gamma.decay_steps), gamma.end)
        name = f"step {at:,}, gamma {width:.3g}" + (f" ({what})" if what else "")
        found[name] = keras.ops.convert_to_numpy(smooth_step(z, width))
    return z, found
