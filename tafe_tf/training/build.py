"""Settings -> an untrained model, its loss and its learning rate."""

from __future__ import annotations

import dataclasses

from tafe_tf import models
from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.optimizers import LinearDecay
from tafe_tf.schema import Schema
from tafe_tf.training.balancing import Balancing
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.delays import Delays


def build_model(
    config: ModelConfig,
    features: Features,
    parts: int = 1,
) -> models.FunnelModel:
    """An untrained model for a feature graph.

    Args:
        config: Which model, with a deep component of a known size, see `with_deep_units`.
        features: The feature graph.
        parts: Number of tables that the embedding table is cut into. The default is 1.
    """
    arguments = config.all_arguments()
    made = models.BY_NAME[config.name]
    if "via" in made.parameters():
        arguments["via"] = features.schema.via
    if any(feature.shares for feature in features.schema.features):
        arguments["shares"] = features.schema.shares
    frozen = features.schema.frozen
    if frozen:
        arguments["frozen"] = frozen
    model = made(
        features.rows,
        len(features.schema.tasks),
        slots=features.slots,
        amount=features.schema.amount is not None,
        embedding_parts=parts,
        encoders=features.encoders,
        **arguments,
    )
    model.field_names = [feature.name for feature in features.schema.id_features]
    return model


def with_gamma_decay(
    model: ModelConfig,
    training: TrainingConfig,
    steps: int,
) -> ModelConfig:
    """The model with gamma's schedule in steps, where training has it as a share of all steps.

    Args:
        model: Which model; one without a gamma stays as it is.
        training: How it is trained.
        steps: Number of steps of an epoch.
    """
    name = "gamma_decay_steps"
    if training.gamma_decay is None or name not in model.all_arguments():
        return model
    decay_steps = training.gamma_decay * training.epochs * steps
    arguments = {**model.arguments, name: decay_steps}
    return dataclasses.replace(model, arguments=arguments)


def build_loss(
    model: models.FunnelModel,
    schema: Schema,
    config: TrainingConfig,
    balancing: Balancing | None = None,
    delays: Delays | None = None,
) -> FunnelLoss:
    """The loss that is asked for; what the settings leave open is as in the model's paper.

    Args:
        model: The model.
        schema: Its dataset's, which weighs the tasks.
        config: How it is trained.
        balancing: What balances the tasks beside that. Default: None.
        delays: How long steps take to be seen. Default: None, labels are final.
    """
    asked = {
        "dependence_weight": config.dependence_weight,
        "order_weight": config.order_weight,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if schema.amount is not None:
        given["amount_weight"] = schema.amount.weight
    task_weights = [task.weight for task in schema.tasks]
    loss = model.paper_loss(task_weights, may_be_unknown=schema.may_be_unknown, **given)
    loss.checks_labels = False  # the reader has checked them
    loss.balance = balancing.balance if balancing else None
    loss.delay = delays.delay if delays else None
    return loss


def learning_rate(
    config: TrainingConfig,
    steps: int,
    start: int,
) -> float | LinearDecay:
    """The learning rate from step `start` on, where an epoch has `steps`.

    On a plateau the training loop changes it, so that it begins as a number.
    """
    if config.learning_rate_decay == "linear":
        return LinearDecay(config.learning_rate, config.epochs * steps, start)
    return config.learning_rate
