"""Published samples of public datasets, which are not in the repository."""

from __future__ import annotations

import os
import pathlib

import pytest


def sample_folder(dataset: str) -> pathlib.Path:
    """The folder of a dataset's sample; skips the test where there is none.

    Args:
        dataset: "ali_ccp" or "aliexpress", a folder inside the one that the environment variable
            TAFE_SAMPLES names.
    """
    root = os.environ.get("TAFE_SAMPLES")
    if not root:
        pytest.skip(f"TAFE_SAMPLES is not set: it names the folder that holds {dataset}/")
    folder = pathlib.Path(root) / dataset
    if not folder.is_dir():
        pytest.skip(f"TAFE_SAMPLES holds no {dataset}/")
    return folder
