"""Asks and serves exported models: client, local server, batch scoring, TensorFlow Serving."""

from tafe_tf import checkout_names

if __name__ == "serving":
    checkout_names.register("serving")
