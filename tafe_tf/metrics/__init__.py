"""How well a funnel's probabilities rank and how well they are calibrated.

All metrics are exact, and can be merged over batches and workers.

A metric's name carries its rows: f_i (`ctr`, `ctcvr`, `p_<task>`) is measured on all impressions, a
conditional f_i / f_{i-1} (`cvr`, `p_<task>_given_<previous>`), at most 1, on the rows whose
previous label is 1. What is undefined (no positive, no negative, no row) is None, never 0.5 or 0.
`DIRECTIONS` says for each metric which values are better.

    auc/NAME            area under the ROC curve, ties counting half
    gauc/NAME           mean of the groups' AUC (`grouped_auc`), without rows that have no group;
                        only if groups are given
    log_loss/NAME       mean of -y log p - (1 - y) log(1 - p); a conditional's 1 - p is at least
                        `SMALLEST`
    pcoc/NAME           sum of predictions / sum of labels
    ece/NAME            expected calibration error (`calibration_error`)
    violation_rate      share of rows with f_i > f_{i-1} for any i
    rows                number of rows
    rows_without_group  number of rows whose group is missing; only if groups are given

If the true probabilities are known, there are also the following, over all rows, and as
NAME_unreached for a conditional over the rows whose previous label is 0, which no label can judge:

    truth_auc/NAME      AUC against labels drawn from the truth, in expectation
    truth_auc_best/NAME the same for the truth as the score: no score has a larger one
    truth_ratio/NAME    sum of predictions / sum of true probabilities
    truth_mae/NAME      mean of |prediction - truth|

If the last step brings an amount, there are also the following. An expected amount
(`expected_amount`, P(last step) times the amount given it) is measured on all rows that know
theirs, an amount given the last step (`amount_given_<task>`) on the rows in which that happened:

    gini/NAME           Gini coefficient of the amounts in the order of the predictions, by that of
                        their own order (`normalised_gini`)
    pcoc/NAME           sum of predictions / sum of amounts
    decile_K_predicted/NAME, decile_K_observed/NAME
                        mean prediction and mean amount in decile K of the predictions, 1 to 10
    rows/amount_given_<task>
                        number of rows in which the last step happened and the amount is known;
                        these stand for those of which it is not

All sums and means are weighted by `sample_weight`, 1 by default. Where labels may be unknown, those
of a step are over the rows that know it, which stand for the others (`weights_of_steps`):

    rows/NAME           number of rows that know the step; of a conditional, those of them that
                        reached the step before
"""

from tafe_tf.metrics.amounts import (
    DECILES,
    amount_metrics,
    deciles,
    normalised_gini,
    weights_of_amounts,
)
from tafe_tf.metrics.calibration import BINS, calibration_error
from tafe_tf.metrics.directions import (
    DIRECTIONS,
    Direction,
    direction,
    goodness,
    monitored,
    monitored_names,
)
from tafe_tf.metrics.funnel import (
    SMALLEST,
    FunnelMetrics,
    Metrics,
    log_conditional,
    log_not_conditional,
    log_sigmoid,
)
from tafe_tf.metrics.ranking import auc, grouped_auc
from tafe_tf.metrics.rows import NO_GROUP, UNKNOWN, each_step, hashes, weights_of_steps

__all__ = [
    "BINS",
    "DECILES",
    "DIRECTIONS",
    "NO_GROUP",
    "SMALLEST",
    "UNKNOWN",
    "Direction",
    "FunnelMetrics",
    "Metrics",
    "amount_metrics",
    "auc",
    "calibration_error",
    "deciles",
    "direction",
    "each_step",
    "goodness",
    "grouped_auc",
    "hashes",
    "log_conditional",
    "log_not_conditional",
    "log_sigmoid",
    "monitored",
    "monitored_names",
    "normalised_gini",
    "weights_of_amounts",
    "weights_of_steps",
]
