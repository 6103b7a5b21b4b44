"""Ids of numbers by the buckets that they fall into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tafe_tf.features.number_counts import TINY
from tafe_tf.schema import FIRST, MISSING, Feature


def bucket_ids(features: Sequence[Feature], raw: tf.Tensor) -> tf.Tensor:
    """Ids of numbers by their log-round buckets, [B, one column a feature]."""
    scales = [float(feature.scale) for feature in features]
    scale = tf.constant(scales)
    limits = [float(feature.max_abs) for feature in features]
    max_abs = tf.constant(limits)
    buckets = [feature.largest_bucket for feature in features]
    largest = tf.constant(buckets)
    magnitude = tf.minimum(tf.abs(raw), max_abs)
    # float32 may round max_abs itself one bucket further, which would be another field's row.
    rounded = tf.round(scale * tf.math.log1p(magnitude))
    sign = tf.sign(raw)
    limit = tf.cast(largest, tf.float32)
    bucket = sign * tf.minimum(rounded, limit)
    missing = tf.math.is_nan(raw)
    known = tf.where(missing, 0.0, bucket)
    ids = tf.cast(known, tf.int32) + FIRST + largest
    return tf.where(missing, MISSING, ids)


def quantile_ids(edges: Sequence[np.ndarray], raw: tf.Tensor) -> tf.Tensor:
    """Ids of numbers by their buckets (-inf, e_1], (e_1, e_2], ..., (e_n, inf), shaped as `raw`.

    Args:
        edges: Of each feature, ascending.
        raw: The numbers, [B, one column a feature] or, of one feature, [B, any].
    """
    most = max(1, *(len(of_feature) for of_feature in edges))
    padded = np.full([len(edges), most], np.inf, np.float32)  # no number lies above the padding
    for i, of_feature in enumerate(edges):
        padded[i, : len(of_feature)] = of_feature
    missing = tf.math.is_nan(raw)
    # Some devices take the smallest numbers for 0, so that all must.
    known = tf.where(missing | (tf.abs(raw) < TINY), 0.0, raw)
    transposed = tf.transpose(known)
    of_features = tf.reshape(transposed, [len(edges), -1])
    flat = tf.searchsorted(tf.constant(padded), of_features, side="left")
    buckets = tf.reshape(flat, tf.shape(transposed))
    return tf.where(missing, MISSING, tf.transpose(buckets) + FIRST)
