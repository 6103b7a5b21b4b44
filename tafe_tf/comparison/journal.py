"""The file in which a search keeps its trials, whatever became of the process that wrote it."""

from __future__ import annotations

import os
import pathlib

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tafe_tf.storage.addresses import named
from tafe_tf.training.errors import RunError


def open_study(journal: pathlib.Path, name: str) -> optuna.Study:
    """Opens the study that a journal holds, or begins one.

    Nobody else may write the journal meanwhile: the folder of a search has a lock of its own.

    Args:
        journal: The file; it need not be there.
        name: The study's name.

    Raises:
        RunError: If the journal is damaged.
    """
    _drop_torn_line(journal)
    _drop_lock(journal)
    try:
        study = optuna.create_study(
            study_name=name,
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal.resolve()))),
            direction="maximize",
            load_if_exists=True,
        )
        _check(study)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        rule = "is damaged; bring back a copy of it, or remove it and search again"
        raise RunError(f"{named(str(journal))}: {rule} ({error})") from None
    return study


def _check(study: optuna.Study) -> None:
    """Reads what a search reads of its trials; what is not there is an error."""
    is_of_earlier_version = not study.user_attrs
    if is_of_earlier_version:
        return
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        float(trial.user_attrs["score"])


def _drop_torn_line(journal: pathlib.Path) -> None:
    """Cuts off the last line if its end is missing.

    Such a line is of a trial whose process ended while it was written, or whose disk was full. The
    next line would be written behind it, and both would be lost.
    """
    if not journal.exists():
        return
    content = journal.read_bytes()
    end_of_lines = content.rfind(b"\n") + 1
    if end_of_lines < len(content):
        os.truncate(journal, end_of_lines)


def _drop_lock(journal: pathlib.Path) -> None:
    """Removes the lock of a process that was killed while it wrote, for which Optuna would wait."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
