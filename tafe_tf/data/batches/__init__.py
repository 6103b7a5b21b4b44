"""Blocks -> batches: hold-out, shuffle, readers, and the tf.data pipeline."""
