"""A server for development and tests that answers as TensorFlow Serving does."""
