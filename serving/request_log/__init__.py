"""A log of what was served: requests and responses, as TensorFlow Serving's warm-up reads them."""

from tafe_tf.serving.request_log.log import RequestLog

__all__ = ["RequestLog"]
