"""Scores the rows of a file by asking a server, and prints or writes the scores.

    python -m serving.client --target=localhost:8500 --model_name=shop --input=rows.csv

The server is TensorFlow Serving or `serving.server`. The file holds the columns that the model
takes; further columns are left out. For files of more than a few million rows see
`serving.batch_score`, which needs no server.
"""

from __future__ import annotations

import pathlib
import sys

import grpc
import pyarrow as pa
import pyarrow.csv as pacsv
from absl import flags

from tafe_tf.data.formats.whole_table import read_table
from tafe_tf.data.formats.write import write
from tafe_tf.serving.client import Client
from tafe_tf.serving.wire.errors import ServingError
from tafe_tf.terminal import command
from tafe_tf.terminal.field_shares import print_field_shares

_TARGET = flags.DEFINE_string("target", "localhost:8500", "The server's gRPC address, HOST:PORT.")
_MODEL = flags.DEFINE_string("model_name", "default", "The model's name on the server.")
_VERSION = flags.DEFINE_integer(
    "model_version",
    None,
    "The number of the version to ask; if not given, the latest one answers.",
    lower_bound=0,
)
_LABEL = flags.DEFINE_string(
    "version_label", None, "The label of the version to ask; give it instead of --model_version."
)
_SIGNATURE = flags.DEFINE_string(
    "signature_name", "serving_default", "The name of the signature to ask."
)
_INPUT = flags.DEFINE_string(
    "input",
    "",
    "The file of rows to score: .parquet, or .csv or .tsv, where .gz or .zst may follow.",
)
_DELIMITER = flags.DEFINE_string(
    "delimiter",
    "",
    "The character between CSV cells; if not given, a tab in .tsv files, and else what the header "
    "line shows.",
)
_QUOTE = flags.DEFINE_string(
    "quote", '"', "The character around a CSV cell that holds a delimiter; empty if there is none."
)
_OUTPUT = flags.DEFINE_string(
    "output",
    "",
    "The file to write the scores to, .csv or .parquet; if not given, they are printed as CSV.",
)
_SHOW_UNSEEN = flags.DEFINE_bool(
    "show_unseen",
    False,
    "Also print, to the standard error, the share of missing and of unseen values of each field "
    "beside that of training. The default is not to.",
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "Seconds that scoring the whole file may take.", lower_bound=0.001
)
_ROWS = flags.DEFINE_integer(
    "rows_per_request", 1024, "The number of rows that one request carries at most.", lower_bound=1
)
_TLS = flags.DEFINE_bool(
    "tls", False, "Connect by TLS; any of --tls_ca, --tls_key and --tls_cert turns it on too."
)
_TLS_CA = flags.DEFINE_string(
    "tls_ca",
    "",
    "A PEM file of the certificate authorities to trust; if not given, the machine's own.",
)
_TLS_KEY = flags.DEFINE_string(
    "tls_key", "", "A PEM file of the client's private key, for a server that asks for one."
)
_TLS_CERT = flags.DEFINE_string(
    "tls_cert", "", "A PEM file of the client's certificate, for a server that asks for one."
)


def main(argv: list[str]) -> None:
    """Scores a file; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors(ServingError):
        command.required(input=_INPUT.value)
        client = Client(
            _TARGET.value,
            _MODEL.value,
            version=_VERSION.value,
            label=_LABEL.value,
            timeout=_TIMEOUT.value,
            rows_per_request=_ROWS.value,
            credentials=_credentials(_TLS.value, _TLS_CA.value, _TLS_KEY.value, _TLS_CERT.value),
        )
        with client:
            rows = read_table(_INPUT.value, _DELIMITER.value, _QUOTE.value)
            predictions = client.predict(rows, signature=_SIGNATURE.value)
            if _SHOW_UNSEEN.value:
                seen = client.seen(rows)
                title = f"values of {_INPUT.value}"
                print_field_shares(seen.counts, seen.training, title, sys.stderr)
        print(f"{_MODEL.value}, version {predictions.version}", file=sys.stderr)
        scores = dict(sorted(predictions.items()))
        if _OUTPUT.value:
            write(_OUTPUT.value, scores)
        else:
            pacsv.write_csv(pa.table(scores), sys.stdout.buffer)


def _credentials(tls: bool, ca: str, key: str, cert: str) -> grpc.ChannelCredentials | None:
    """The credentials of a TLS connection, or None for plain text."""
    if not (tls or ca or key or cert):
        return None
    contents = [pathlib.Path(path).read_bytes() if path else None for path in (ca, key, cert)]
    return grpc.ssl_channel_credentials(*contents)


if __name__ == "__main__":
    command.run(main)
