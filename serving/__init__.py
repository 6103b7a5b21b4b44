"""Answers with exported models: a client, a local server, batch scoring, and what TensorFlow Serving needs."""

from tafe_tf import checkout_names

if __name__ == "serving":
    checkout_names.register("serving")
