"""Freezes a trained run into a SavedModel that TensorFlow Serving can load."""

from tafe_tf import checkout_names

if __name__ == "export":
    checkout_names.register("export")
