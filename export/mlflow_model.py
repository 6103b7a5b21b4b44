"""An export as a model of MLflow, whose `predict` takes a pandas DataFrame.

MLflow's `python_function` flavour names a module that opens a folder: this one, with a version of
an export inside. It is loaded without the run, wherever this package is installed.

    mlflow.pyfunc.load_model("models:/shop/1").predict(frame)
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.in_memory import ArrowRows, to_arrow
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.export import manifest
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input
from tafe_tf.export.versions import SCHEMA_FILE
from tafe_tf.schema import Schema
from tafe_tf.storage.staging import stage
from tafe_tf.training.noted_rows import EVALUATION_ROWS

if TYPE_CHECKING:
    import pandas as pd

MODULE = "tafe_tf.export.mlflow_model"
NAME = "model"  # of the model in a run of MLflow
EXAMPLE_ROWS = 3


class FunnelModel:
    """What MLflow loads.

    Args:
        path: A version of an export.

    Raises:
        DataError: If the version is not what was published.
        OSError: If there is none.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        directory = pathlib.Path(path)
        manifest.check(directory)
        self.schema = schema_toml.load(directory / SCHEMA_FILE)
        self._served = SessionModel(directory)

    def predict(
        self,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Scores rows.

        Args:
            model_input: The raw columns, as `Run.predict` takes them; further ones are ignored.
            params: Are not read.

        Returns:
            A column of float32 for each output, such as "ctr", with the index of the rows; no row
            for no row.

        Raises:
            DataError: On a bad row, naming row, column and value.
        """
        import pandas as pd  # an extra

        names = self.schema.output_names
        if not len(model_input):
            return pd.DataFrame(columns=names, index=model_input.index, dtype=np.float32)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        blocks = read_blocks(
            [ArrowRows("rows", to_arrow(model_input, "rows", self.schema))],
            self.schema,
            bad_rows=BadRows(),
            block_rows=EVALUATION_ROWS,
            columns=[column.name for column in self.schema.served_inputs],
            labels=False,
        )
        for block in blocks:
            scores = self._served(by_input(self.schema, block.columns))
            for name, values in parts.items():
                values.append(scores[name])
        joined = {name: np.concatenate(values) for name, values in parts.items()}
        return pd.DataFrame(joined, index=model_input.index)


def _load_pyfunc(path: str) -> FunnelModel:
    """Opens a version; MLflow calls this with the folder inside of its model."""
    return FunnelModel(path)


def save(
    version: str | pathlib.Path,
    path: str | pathlib.Path,
    example: pd.DataFrame | None = None,
) -> None:
    """Saves an export as a model of MLflow, which `mlflow.pyfunc.load_model` opens.

    Args:
        version: The directory of a version, or its URI in a store.
        path: Where the model goes, a directory that is not there yet.
        example: Rows that show what the model takes, with its raw columns. Default: None, none.

    Raises:
        MlflowException: If the directory is there.
        ModuleNotFoundError: If MLflow is not installed.
        StoreError: If a store cannot be read.

    Example:
        save("models/shop/1795802451", "shop_for_mlflow")
        mlflow.pyfunc.load_model("shop_for_mlflow").predict(frame)
    """
    import mlflow.pyfunc  # an extra

    local = stage(version)
    schema = schema_toml.load(local / SCHEMA_FILE)
    mlflow.pyfunc.save_model(
        str(path),
        loader_module=MODULE,
        data_path=str(local),
        signature=signature_of(schema),
        input_example=None if example is None else _inputs_of(example, schema),
        pip_requirements=[f"tafe_tf[mlflow]=={tafe_tf.__version__}"],
    )


def log(
    client: Any,
    number: str,
    version: str | pathlib.Path,
    example: pd.DataFrame | None = None,
) -> None:
    """Keeps an export in a run of MLflow, as the model in its artifacts' folder "model".

    Args:
        client: An `mlflow.MlflowClient`.
        number: The run's.
        version: The directory of a version, or its URI in a store.
        example: See `save`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, NAME)
        save(version, path, example)
        client.log_artifacts(number, str(path), NAME)


def signature_of(schema: Schema) -> Any:
    """The raw columns and the outputs as MLflow's signature.

    The columns are of any type, which `predict` judges by itself. MLflow would refuse an integer
    column with a missing value, which pandas has as floats, integers where numbers are asked for,
    and categories where texts are.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    inputs: list[Any] = [ColSpec(AnyType(), column.name) for column in schema.served_inputs]
    outputs: list[Any] = [ColSpec(DataType.float, name) for name in schema.output_names]
    return ModelSignature(inputs=Columns(inputs), outputs=Columns(outputs))


def _inputs_of(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The first rows, with the columns of the model alone."""
    names = [column.name for column in schema.served_inputs]
    return rows[names].head(EXAMPLE_ROWS)
