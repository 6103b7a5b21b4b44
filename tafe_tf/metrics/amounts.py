"""How well expected amounts rank, sum up and agree with what was observed."""

from __future__ import annotations

import numpy as np

DECILES = 10


def normalised_gini(
    score: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
) -> float | None:
    """Computes the Gini coefficient of amounts in the order of a score, by that of their own order.

    It is 1 for the order of the amounts themselves, 0 in expectation for any order that knows
    nothing of them, and negative for a wrong one. Rows of one score share their amounts evenly.

    Args:
        score: What rows are ordered by, [n].
        observed: Amounts, 0 or more, [n].
        weight: Weight of each row, [n].

    Returns:
        The quotient, or None if all amounts are equal.

    Example:
        >>> score, amounts = np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 1.0])
        >>> round(normalised_gini(score, amounts, np.ones(3)), 4)
        0.2
    """
    of_score = _gini(score, observed, weight)
    own = _gini(observed, observed, weight)
    if of_score is None or own is None or own <= 0:
        return None
    return of_score / own


def _gini(
    score: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
) -> float | None:
    """Twice the area between the diagonal and the Lorenz curve of amounts in a score's order."""
    total = weight.sum()
    amount = (weight * observed).sum()
    if not (total > 0 and amount > 0):
        return None
    _, place = np.unique(score, return_inverse=True)
    of_rows = np.bincount(place, weight) / total  # of each score, in order
    of_amounts = np.bincount(place, weight * observed) / amount
    reached = np.cumsum(of_amounts)
    middle = reached - 0.5 * of_amounts
    return float(1.0 - 2.0 * (of_rows * middle).sum())


def deciles(
    predicted: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
) -> list[tuple[float, float] | None]:
    """Computes the mean predicted and the mean observed amount of each decile of the predictions.

    The deciles hold equal weight; rows of one prediction lie together, in the decile of their
    middle.

    Args:
        predicted: Expected amounts, [n].
        observed: Amounts, [n].
        weight: Weight of each row, [n].

    Returns:
        Ten pairs, that of the smallest predictions first; None for a decile without rows.

    Example:
        >>> amounts = np.arange(20.0)
        >>> deciles(amounts, 2 * amounts, np.ones(20))[:2]
        [(0.5, 1.0), (2.5, 5.0)]
    """
    total = weight.sum()
    if not total > 0:
        return [None] * DECILES
    _, place = np.unique(predicted, return_inverse=True)
    mass = np.bincount(place, weight)
    middle = (np.cumsum(mass) - mass / 2) / total
    decile = np.minimum((middle * DECILES).astype(np.int64), DECILES - 1)[place]
    rows = np.bincount(decile, weight, DECILES)
    sums = np.bincount(decile, weight * predicted, DECILES)
    of_observed = np.bincount(decile, weight * observed, DECILES)
    found: list[tuple[float, float] | None] = []
    for i in range(DECILES):
        pair = (float(sums[i] / rows[i]), float(of_observed[i] / rows[i])) if rows[i] else None
        found.append(pair)
    return found


def weights_of_amounts(
    observed: np.ndarray,
    happened: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Computes how much each row counts in the sums of amounts, 0 where its amount is not known.

    Rows whose last step happened and whose amount is known stand for those whose is not.

    Args:
        observed: Amounts, NaN where they are not known, [n].
        happened: Whether the last step happened, [n].
        weight: Weights of the rows in the last step, 0 where its label is unknown, [n].

    Returns:
        float64 [n].

    Example:
        >>> observed = np.array([0.0, 7.0, np.nan])
        >>> weights_of_amounts(observed, np.array([False, True, True]), np.ones(3)).tolist()
        [1.0, 2.0, 0.0]
    """
    weight = weight.astype(np.float64)
    is_known = ~np.isnan(observed)
    own = np.where(is_known, weight, 0.0)
    told = own[happened].sum()
    if told > 0 and not is_known.all():
        own[happened] *= weight[happened].sum() / told
    return own


def amount_metrics(
    names: tuple[str, str],
    log_p: np.ndarray,
    given: np.ndarray,
    observed: np.ndarray,
    happened: np.ndarray,
    weight: np.ndarray,
) -> dict[str, float | int | None]:
    """Computes all metrics of amounts by name; `tafe_tf.metrics` says what each is.

    Args:
        names: Names of the amount given the last step, and of the expected amount.
        log_p: Logarithms of the last step's probability, [n].
        given: The predicted amount given the last step, [n].
        observed: Amounts, 0 where the last step did not happen, NaN where they are not known, [n].
        happened: Whether the last step happened, [n].
        weight: Weights of the rows in the last step, 0 where its label is unknown, [n].

    Example:
        >>> happened = np.array([True, False])
        >>> amounts, given = np.array([6.0, 0.0]), np.array([8.0, 4.0])
        >>> log_p = np.log([0.5, 0.25])  # expected amounts of 4 and 1
        >>> names = ("amount_given_buy", "expected_amount")
        >>> found = amount_metrics(names, log_p, given, amounts, happened, np.ones(2))
        >>> found["rows/amount_given_buy"], round(found["pcoc/expected_amount"], 4)
        (1, 0.8333)
    """
    of_given, of_expected = names
    own = weights_of_amounts(observed, happened, weight)
    counts = own > 0
    amounts = np.where(counts, observed, 0.0)
    expected = np.exp(log_p) * given
    reached = counts & happened
    result: dict[str, float | int | None] = {f"rows/{of_given}": int(reached.sum())}
    for name, predicted, rows in (
        (of_given, given, reached),
        (of_expected, expected, counts),
    ):
        of_rows = (predicted[rows], amounts[rows], own[rows])
        observed_sum = (own[rows] * amounts[rows]).sum()
        predicted_sum = (own[rows] * predicted[rows]).sum()
        is_defined = observed_sum > 0
        result[f"gini/{name}"] = normalised_gini(*of_rows)
        result[f"pcoc/{name}"] = float(predicted_sum / observed_sum) if is_defined else None
    pairs = deciles(expected[counts], amounts[counts], own[counts])
    for i, pair in enumerate(pairs, start=1):
        result[f"decile_{i}_predicted/{of_expected}"] = pair[0] if pair else None
        result[f"decile_{i}_observed/{of_expected}"] = pair[1] if pair else None
    return result
