"""The flags of `tafe_tf.train`, `tafe_tf.evaluate` and `tafe_tf.prepare`, so that one flagfile serves all three."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

from absl import flags

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.distributed import cluster as clusters
from tafe_tf.models import BY_NAME
from tafe_tf.training.loop import TrainingConfig
from tafe_tf.training.run_dir import RunError

_TRAINING = TrainingConfig()

DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "Where the rows are: train.EXT, test.EXT and, if there is one, valid.EXT, with EXT csv, csv.gz, parquet, tfrecord "
    "or tfrecord.gz; or shards train-*.EXT or train/*.EXT, and so on.",
)
RUN_DIR = flags.DEFINE_string(
    "run_dir", "", "Where the run keeps vocabularies, checkpoints and metrics."
)
SCHEMA = flags.DEFINE_string(
    "schema", "", "The dataset's TOML file; by default <data_dir>/schema.toml."
)
ON_BAD_ROW = flags.DEFINE_enum(
    "on_bad_row",
    "raise",
    ["raise", "drop"],
    "Stop at a bad row, or count, report and leave out all bad rows.",
)
SPLIT = flags.DEFINE_string("split", "test", "Which files tafe_tf.evaluate reads.")

MODEL = flags.DEFINE_enum("model", "tafe", list(BY_NAME), "The architecture.")
EMBEDDING_DIM = flags.DEFINE_integer("embedding_dim", 18, "d, numbers an embedding.", lower_bound=1)
EMBEDDING_STDDEV = flags.DEFINE_float(
    "embedding_stddev", 0.05, "Standard deviation of the table's start."
)
EMBEDDING_DTYPE = flags.DEFINE_enum(
    "embedding_dtype",
    "float32",
    ["float32", "bfloat16", "float16"],
    "What the table is kept in; its moments are float32.",
)
EMBEDDING_PARTS = flags.DEFINE_integer(
    "embedding_parts",
    0,
    "Into how many tables of whole fields the table is cut; by default one a parameter server, otherwise one.",
    lower_bound=0,
)
NUM_INDUCING = flags.DEFINE_integer(
    "num_inducing", 64, "K, inducing points of a block.", lower_bound=1
)
NUM_HEADS = flags.DEFINE_integer(
    "num_heads", 2, "M, attention heads; a divisor of d.", lower_bound=1
)
NUM_LAYERS = flags.DEFINE_integer("num_layers", 4, "L, blocks.", lower_bound=1)
SELECTOR_HIDDEN = flags.DEFINE_list(
    "selector_hidden", [], "Sizes of hidden layers in the selectors' MLPs."
)
GAMMA_START = flags.DEFINE_float("gamma_start", 10.0, "gamma of eq. 16 at step 0.")
GAMMA_DECAY_STEPS = flags.DEFINE_float(
    "gamma_decay_steps", 50_000.0, "Steps until gamma would reach 0."
)
USE_ASRG = flags.DEFINE_bool(
    "use_asrg", True, "False: the paper's ablation w/o ASRG, with self-attention over fields."
)
USE_TSA = flags.DEFINE_bool(
    "use_tsa", True, "False: the paper's ablation w/o TSA, with a tower a task."
)
DROPOUT = flags.DEFINE_float(
    "dropout", 0.0, "Share of embedding elements (tafe) or units dropped.", 0.0, 0.99
)
BOTTOM_UNITS = flags.DEFINE_list(
    "bottom_units", ["256", "128"], "Sizes of shared_bottom's shared MLP."
)
EXPERT_UNITS = flags.DEFINE_list(
    "expert_units", ["256", "128"], "Sizes of each expert of mmoe and ple."
)
TOWER_UNITS = flags.DEFINE_list(
    "tower_units", [], "Sizes of each task's tower; by default the model's own."
)
NUM_EXPERTS = flags.DEFINE_integer("num_experts", 8, "Experts of mmoe.", lower_bound=1)
NUM_LEVELS = flags.DEFINE_integer("num_levels", 2, "Levels of ple.", lower_bound=1)
NUM_SPECIFIC = flags.DEFINE_integer(
    "num_specific", 4, "Experts of each task in a level of ple.", lower_bound=1
)
NUM_SHARED = flags.DEFINE_integer(
    "num_shared", 4, "Shared experts in a level of ple.", lower_bound=1
)
GATE = flags.DEFINE_enum("gate", "softmax", ["softmax", "dselect_k"], "Gates of mmoe.")
NUM_SELECTED = flags.DEFINE_integer("num_selected", 2, "k of dselect_k gates.", lower_bound=1)
ENTROPY_WEIGHT = flags.DEFINE_float(
    "entropy_weight", 0.0, "Weight of dselect_k gates' entropy.", lower_bound=0.0
)
ESTIMATOR = flags.DEFINE_enum(
    "estimator",
    "ips",
    ["ips", "dr", "naive"],
    "How escm2 estimates the risk of a conditional step.",
)
COUNTERFACTUAL_WEIGHT = flags.DEFINE_float(
    "counterfactual_weight", 1.0, "Weight of that risk.", lower_bound=0.0
)
GLOBAL_WEIGHT = flags.DEFINE_float(
    "global_weight", 1.0, "Weight of escm2's losses of f_2, f_3, ...", lower_bound=0.0
)
MIN_PROPENSITY = flags.DEFINE_float(
    "min_propensity", 0.01, "Bounds escm2's weights.", lower_bound=0.0
)
DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy", "float32", ["float32", "mixed_bfloat16"], "Keras's dtype policy."
)

BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "B, rows a step.", lower_bound=1)
EPOCHS = flags.DEFINE_integer(
    "epochs", _TRAINING.epochs, "At most this many passes.", lower_bound=1
)
PATIENCE = flags.DEFINE_integer(
    "patience", _TRAINING.patience, "Epochs without a better --monitor.", lower_bound=1
)
MONITOR = flags.DEFINE_string(
    "monitor",
    _TRAINING.monitor,
    "'auc' or 'log_loss' (mean over tasks), or a metric such as auc/ctr.",
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Adam's learning rate.", lower_bound=0.0)
LEARNING_RATE_DECAY = flags.DEFINE_enum(
    "learning_rate_decay",
    "none",
    ["none", "linear"],
    "Keep the learning rate, or let it fall to 0 over all --epochs.",
)
DEPENDENCE_WEIGHT = flags.DEFINE_float(
    "dependence_weight",
    None,
    "Weight of L_D (eq. 25); by default 1 for tafe and 0 for the others.",
    lower_bound=0.0,
)
ORDER_WEIGHT = flags.DEFINE_float(
    "order_weight",
    None,
    "Weight of max(f_i - f_{i-1}, 0); by default 0.6 for aitm and 0 for the others.",
    0.0,
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, shuffle and hold-out.")
VALID_FRACTION = flags.DEFINE_float(
    "valid_fraction",
    0.1,
    "Share of the training rows held out for early stopping where there are no valid files.",
    0,
    0.9,
)
VALID_SPLIT = flags.DEFINE_enum(
    "valid_split",
    "random",
    ["random", "time"],
    "Hold out random rows, or the latest by the schema's time column.",
)
SHUFFLE_ROWS = flags.DEFINE_integer(
    "shuffle_rows", 1 << 18, "Consecutive rows shuffled as one.", lower_bound=1
)
STEPS_PER_CALL = flags.DEFINE_integer(
    "steps_per_call", _TRAINING.steps_per_call, "Steps between two looks.", lower_bound=1
)
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", _TRAINING.checkpoint_steps, "Steps between two checkpoints.", lower_bound=1
)
WARM_START = flags.DEFINE_string(
    "warm_start",
    "",
    "Go on from this finished run, with the new files of --data_dir; schema and model must be its own.",
)
RETIRE_AFTER = flags.DEFINE_integer(
    "retire_after",
    0,
    "With --warm_start, drop the rows of values that the training files of this many runs in a row, this one the last, "
    "did not have; 0 keeps all.",
    lower_bound=0,
)
WARM_GAMMA = flags.DEFINE_enum(
    "warm_gamma",
    "continue",
    ["continue", "restart"],
    "With --warm_start, whether gamma of eq. 16 goes on or starts anew.",
)
INTERCEPT_ROWS = flags.DEFINE_integer(
    "intercept_rows",
    _TRAINING.intercept_rows,
    "Training rows on which each task's intercept is set, after the last epoch, so that predictions sum to labels.",
    lower_bound=0,
)

STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    clusters.NAMES,
    "Where to train; auto: parameter servers or several workers if TF_CONFIG has them, a --tpu, all GPUs, one device.",
)
TPU = flags.DEFINE_string("tpu", "", "Address of a TPU, or 'local' on its own host.")
READERS = flags.DEFINE_integer(
    "readers",
    0,
    "Into how many parts the input is dealt, by file; a multiple of the workers, by default one each. With the same "
    "number any number of workers sees the same batches, and a job goes on with fewer or more of them.",
    lower_bound=0,
)

SAVE_PREDICTIONS = flags.DEFINE_bool(
    "save_predictions", False, "Write the test rows' logits to predictions.npz."
)

_FREE = {
    "run_dir",
    "split",
    "steps_per_call",
    "checkpoint_steps",
    "save_predictions",
    "strategy",
    "tpu",
}  # flags that the trained weights do not depend on


def flagfile_first(argv: list[str]) -> list[str]:
    """The arguments with flagfiles moved to the front, so that any further flag wins over them."""
    files: list[str] = []
    rest: list[str] = []
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument in ("--flagfile", "-flagfile"):
            files += [argument, next(arguments, "")]
        else:
            (files if argument.lstrip("-").startswith("flagfile=") else rest).append(argument)
    return [argv[0], *files, *rest]


def names() -> list[str]:
    """Names of all flags that the trained weights depend on."""
    known = flags.FLAGS.flags_by_module_dict()[sys.modules[__name__].__name__]
    return sorted(flag.name for flag in known if flag.name not in _FREE)


def as_flagfile(but: Collection[str] = ()) -> str:
    """All flags that the trained weights depend on, `but` some, one a line."""
    lines = (flags.FLAGS[name].serialize() for name in names() if name not in but)
    return "".join(f"{line}\n" for line in sorted(lines) if line)


def required(**values: str) -> None:
    """Raises RunError for the flags that are empty."""
    missing = [f"--{name}" for name, value in values.items() if not value]
    if missing:
        raise RunError(f"{' and '.join(missing)} must be given")


def schema_file() -> str:
    """--schema, or the schema beside the data."""
    return SCHEMA.value or f"{DATA_DIR.value}/schema.toml"


def sizes(name: str, texts: list[str]) -> list[int]:
    """Sizes of layers, from a flag's texts.

    Raises:
        RunError: if one is no positive integer.
    """
    if not all(text.isdigit() and int(text) > 0 for text in texts):
        raise RunError(
            f"--{name} must be positive integers, comma-separated. Received: {','.join(texts)}"
        )
    return [int(text) for text in texts]


def model_arguments(wanted: list[str]) -> dict[str, Any]:
    """Values of the flags that are arguments of a model, by name; an empty list leaves the model's own default."""
    asked = {name: flags.FLAGS[name].value for name in names() if name in wanted}
    values = {
        name: sizes(name, value) if isinstance(value, list) else value
        for name, value in asked.items()
    }
    return {name: value for name, value in values.items() if value != []}


def bad_rows() -> BadRows:
    """What --on_bad_row asks for."""
    return BadRows(ON_BAD_ROW.value)


def training_config() -> TrainingConfig:
    """The loop's part of the flags."""
    return TrainingConfig(
        epochs=EPOCHS.value,
        patience=PATIENCE.value,
        monitor=MONITOR.value,
        steps_per_call=STEPS_PER_CALL.value,
        checkpoint_steps=CHECKPOINT_STEPS.value,
        intercept_rows=INTERCEPT_ROWS.value,
    )
