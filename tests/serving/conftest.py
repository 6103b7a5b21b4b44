"""One server for all tests that only ask."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import pytest
import small_models
from servers import FUNNELS, LocalServer, model_config

from tafe_tf.export.publish import ExportConfig, publish


@pytest.fixture(scope="session")
def other_numbers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An export of "numbers" with other weights."""
    root = tmp_path_factory.mktemp("other")
    run = small_models.make_run(root, "numbers", seed=7)
    return publish(run, root / "export", ExportConfig(version=1))


@pytest.fixture(scope="session")
def server(
    exports: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """One server of all three funnels, which must not be changed; its process has no Keras."""
    directory = tmp_path_factory.mktemp("server")
    config = directory / "models.config"
    models = "\n".join(model_config(name, exports[name].parent) for name in FUNNELS)
    config.write_text(f"model_config_list {{ {models} }}")
    before = "import sys; sys.modules['keras'] = None"
    with LocalServer(directory / "log", f"--model_config_file={config}", before=before) as running:
        yield running


@pytest.fixture
def published(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """A base path with one version."""
    shutil.copytree(exports["numbers"], tmp_path / "models" / "1")
    return tmp_path / "models"
