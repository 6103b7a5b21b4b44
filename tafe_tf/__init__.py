"""TAFE and its kin: multi-task recommenders for funnels in which each step follows the one before."""

import os

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "2"
)  # TensorFlow's notes on the machine; set it to 0 to see them

__version__ = "0.1.0"
