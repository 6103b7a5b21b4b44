"""Answers with exported models: a client, a local server, batch scoring, and what TensorFlow Serving needs."""

import tafe_tf  # noqa: F401  (before TensorFlow: it sets how much TensorFlow says)
