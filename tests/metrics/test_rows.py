"""Hashes of groups."""

from __future__ import annotations

import os
import subprocess
import sys


def test_groups_have_the_same_hash_in_every_process() -> None:
    code = """
import numpy as np
from tafe_tf.metrics import hashes
print(hashes(np.array(['u', 'é']), (2,)).tolist())
"""
    seeds = [{"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)} for seed in "12"]
    one, two = (
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | seed)
        for seed in seeds
    )
    assert one == two
