"""A TensorFlow Serving stand-in for development and tests."""
