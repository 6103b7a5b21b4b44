"""Freezes a trained run into a SavedModel that TensorFlow Serving can load."""

import tafe_tf  # noqa: F401  (before TensorFlow: it sets how much TensorFlow says)
