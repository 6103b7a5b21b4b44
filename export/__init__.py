"""Freezes a trained run into a SavedModel that TensorFlow Serving can load."""
