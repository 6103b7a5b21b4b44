"""The command behind `python -m serving.client`; its flags are its own, so that programs may import the client."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from absl import app, flags

from tafe_tf.data.formats.write import write
from tafe_tf.serving.client import Client
from tafe_tf.serving.wire.errors import ServingError, invalid

_TARGET = flags.DEFINE_string("target", "localhost:8500", "host:port of the server.")
_MODEL = flags.DEFINE_string("model_name", "default", "The model's name.")
_VERSION = flags.DEFINE_integer(
    "model_version", None, "The version; by default the latest.", lower_bound=0
)
_LABEL = flags.DEFINE_string("version_label", None, "The version's label, instead of its number.")
_SIGNATURE = flags.DEFINE_string("signature_name", "serving_default", "The signature to ask.")
_INPUT = flags.DEFINE_string("input", "", "Rows to score: a .csv, .csv.gz or .parquet file.")
_OUTPUT = flags.DEFINE_string(
    "output", "", "A .csv or .parquet file for the scores; by default they are printed."
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "Seconds that the whole file may take.", lower_bound=0.001
)
_ROWS = flags.DEFINE_integer("rows_per_request", 1024, "Rows a request.", lower_bound=1)
_TLS = flags.DEFINE_bool("tls", False, "Connect by TLS.")
_TLS_CA = flags.DEFINE_string(
    "tls_ca", "", "File of the authorities to trust (PEM); by default the machine's."
)
_TLS_KEY = flags.DEFINE_string(
    "tls_key", "", "File of the client's own key (PEM), if the server asks for one."
)
_TLS_CERT = flags.DEFINE_string("tls_cert", "", "File of the client's own certificate (PEM).")


def read(path: str) -> pa.Table:
    """Rows of a file; cells of a CSV file stay texts, which the model's signature gives their type.

    Raises:
        ServingError: if it cannot be read.
    """
    try:
        if path.endswith(".parquet"):
            return pq.read_table(path)
        with pacsv.open_csv(path) as file:
            names = file.schema.names
        texts = pacsv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=False
        )
        return pacsv.read_csv(path, convert_options=texts)
    except (OSError, pa.ArrowException) as error:
        raise invalid(f"{path}: {error}") from None


def credentials() -> grpc.ChannelCredentials | None:
    """What the flags say of TLS."""
    files = [
        pathlib.Path(flag.value).read_bytes() if flag.value else None
        for flag in (_TLS_CA, _TLS_KEY, _TLS_CERT)
    ]
    return grpc.ssl_channel_credentials(*files) if _TLS.value or any(files) else None


def score() -> dict[str, np.ndarray]:
    """The scores of all rows.

    Raises:
        ServingError: what went wrong.
    """
    if not _INPUT.value:
        raise invalid("--input must be given")
    settings: dict[str, Any] = {
        "version": _VERSION.value,
        "label": _LABEL.value,
        "timeout": _TIMEOUT.value,
    }
    with Client(
        _TARGET.value,
        _MODEL.value,
        rows_per_request=_ROWS.value,
        credentials=credentials(),
        **settings,
    ) as client:
        predictions = client.predict(read(_INPUT.value), signature=_SIGNATURE.value)
    print(f"{_MODEL.value}, version {predictions.version}", file=sys.stderr)
    return dict(sorted(predictions.items()))


def main(argv: list[str]) -> None:
    """Prints or writes the scores; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        scores = score()
        if _OUTPUT.value:
            write(_OUTPUT.value, scores)
        else:
            pacsv.write_csv(pa.table(scores), sys.stdout.buffer)
    except (OSError, ServingError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
