"""Exports a trained run as a SavedModel for TensorFlow Serving.

    python -m export.saved_model --run_dir=DIR --export_dir=DIR [--version=N]

A run that was warm-started is published only if it is not worse than the run before it, by the
margins of --max_auc_loss, --max_log_loss_rise and, with --slice_by, --max_slice_loss, or if
--publish_worse is given.

--tracking=mlflow:URI keeps the version as a model in the tracker's run of the training, which
`mlflow.pyfunc.load_model` opens.

`export.signatures` says what the SavedModel can be asked, `export.gate` what it must show before it
is published. `export.publish` is the same job as a function.
"""

from __future__ import annotations

from absl import flags, logging

from tafe_tf.export import tracked
from tafe_tf.export.errors import ExportError
from tafe_tf.export.publish import CALIBRATIONS, ExportConfig, publish
from tafe_tf.export.publish_terms import Terms
from tafe_tf.export.table_storage import STORAGES
from tafe_tf.flags import RUN_DIR
from tafe_tf.terminal import command
from tafe_tf.tracking_flags import TRACKING
from tafe_tf.training.run_dir import RunDir

for _name in ("run_dir", "tracking"):
    flags.declare_key_flag(_name)

_CONFIG = ExportConfig()  # its values are the flags' defaults
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    "",
    "Directory in which versions are published, each as a directory named by its number, or its "
    "URI in a store. This flag must be given.",
)
_VERSION = flags.DEFINE_integer(
    "version",
    _CONFIG.version,
    "Number of the new version. The default, 0, means the time in seconds since 1970.",
    lower_bound=0,
)
_CALIBRATION = flags.DEFINE_enum(
    "calibration",
    _CONFIG.calibration,
    CALIBRATIONS,
    "Curve that calibrates the served probability of each step, fitted on the held-out rows: platt "
    "is a logistic curve, isotonic any curve that does not fall. The default is none.",
)
_STORAGE = flags.DEFINE_enum(
    "embedding_storage",
    _CONFIG.embedding_storage,
    STORAGES,
    "Number format of the exported embedding tables. The default, float32, keeps them as they were "
    "trained. float16 and int8 take less memory, and the export prints what they cost in quality.",
)
_PREVIOUS = flags.DEFINE_string(
    "previous",
    "",
    "Run directory, or its URI, of the model that the new one is compared with before it is "
    "published. The default is the run that --run_dir was warm-started from; without either, "
    "nothing is compared.",
)
_MAX_AUC_LOSS = flags.DEFINE_float(
    "max_auc_loss",
    _CONFIG.terms.max_auc_loss,
    "Publish nothing if the AUC of any step on the test rows is lower than the previous model's by "
    f"more than this difference. The default is {_CONFIG.terms.max_auc_loss}.",
    lower_bound=0.0,
)
_MAX_LOG_LOSS_RISE = flags.DEFINE_float(
    "max_log_loss_rise",
    _CONFIG.terms.max_log_loss_rise,
    "Publish nothing if the log loss of any step on the test rows is larger than the previous "
    "model's by more than this share of it. The default is "
    f"{_CONFIG.terms.max_log_loss_rise}, which is {_CONFIG.terms.max_log_loss_rise:.0%}.",
    lower_bound=0.0,
)
_SLICE_BY = flags.DEFINE_list(
    "slice_by",
    list(_CONFIG.terms.slice_by),
    "Columns, comma-separated, of the schema or not, by whose values the test rows are divided for "
    "--max_slice_loss. By default none.",
)
_MAX_SLICE_LOSS = flags.DEFINE_float(
    "max_slice_loss",
    _CONFIG.terms.max_slice_loss,
    "Publish nothing if in the rows of one value of --slice_by the log loss of any step is larger "
    "than the previous model's by more than this share of it, beyond noise. The default is "
    f"{_CONFIG.terms.max_slice_loss}, which is {_CONFIG.terms.max_slice_loss:.0%}.",
    lower_bound=0.0,
)
_PUBLISH_WORSE = flags.DEFINE_bool(
    "publish_worse",
    _CONFIG.terms.publish_worse,
    "Publish the model even if it is worse than --max_auc_loss, --max_log_loss_rise and "
    "--max_slice_loss allow. The default is not to.",
)


def main(argv: list[str]) -> None:
    """Exports the run and prints where, and what the gate found."""
    command.only_flags(argv)
    logging.set_verbosity(logging.WARNING)  # TensorFlow notes every file that it writes
    with command.one_line_errors(ExportError):
        command.required(run_dir=RUN_DIR.value, export_dir=_EXPORT_DIR.value)
        run = RunDir(RUN_DIR.value)
        version = publish(run, _EXPORT_DIR.value, _config())
        if TRACKING.value:
            tracked.keep(TRACKING.value, run, version)


def _config() -> ExportConfig:
    """The settings that the flags ask for."""
    terms = Terms(
        previous=RunDir(_PREVIOUS.value) if _PREVIOUS.value else None,
        max_auc_loss=_MAX_AUC_LOSS.value,
        max_log_loss_rise=_MAX_LOG_LOSS_RISE.value,
        slice_by=tuple(_SLICE_BY.value),
        max_slice_loss=_MAX_SLICE_LOSS.value,
        publish_worse=_PUBLISH_WORSE.value,
    )
    return ExportConfig(
        version=_VERSION.value,
        calibration=_CALIBRATION.value,
        embedding_storage=_STORAGE.value,
        terms=terms,
    )


if __name__ == "__main__":
    command.run(main)
