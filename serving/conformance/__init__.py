"""Checks of a running server: it must answer, refuse and survive as TensorFlow Serving does."""
