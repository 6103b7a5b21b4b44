"""Clients of TensorFlow Serving and of `serving.server`: columns in, NumPy arrays out.

`Client` blocks until the answer is there; `AsyncClient` is the same for asyncio. Both need grpcio,
protobuf and NumPy alone, and pyarrow for columns that have to be converted. The command `python -m
serving.client` scores a file.
"""

from tafe_tf.serving.client.answers import Predictions
from tafe_tf.serving.client.asynchronous import AsyncClient
from tafe_tf.serving.client.blocking import Client
from tafe_tf.serving.client.description import Seen
from tafe_tf.serving.wire.errors import ServingError

__all__ = ["AsyncClient", "Client", "Predictions", "Seen", "ServingError"]
