"""States of a training in files: written whole, kept through a loss of power, read if undamaged.

<folder>/ckpt-20.index, ckpt-20.data-00000-of-00001    a state, in TensorFlow's format
         checkpoint                                    which one is the newest, for TensorFlow
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tafe_tf.data.atomic import publish, write_text
from tafe_tf.data.errors import of_a_file
from tafe_tf.training.errors import RunError

_NAME = "ckpt-"
_LIST = "checkpoint"
# What TensorFlow raises, and what its C++ code makes Python raise, at bytes that do not fit their
# checksums. Memory that is full, for example, is no damage.
_DAMAGE = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError, IndexError)


class Checkpoints:
    """The states in a folder, of which the newest are kept.

    Args:
        folder: The folder; made at the first save.
        keep: How many states are kept.
        on_save: Is called once a state is saved. Default: None.
        **state: What a state holds: variables, or lists of them.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        keep: int,
        on_save: Callable[[], None] | None = None,
        **state: Any,
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._on_save = on_save
        self._checkpoint = tf.train.Checkpoint(**state)
        self._checkpoint.save_counter  # noqa: B018  (makes it: states of earlier versions hold one)
        self._damaged: set[str] = set()

    def save(self, number: int | None = None) -> None:
        """Writes a state and removes what is no longer kept, once the new one is on the disk.

        A damaged state that `restore` passed over goes too.

        Args:
            number: Of the state, larger than those before. Default: the next one.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if number is None:
            number = max(map(_number, _complete(self._folder)), default=0) + 1
        name = f"{_NAME}{number}"
        self._checkpoint.write(str(self._folder / f".{name}"))
        for part in sorted(self._folder.glob(f".{name}.*")):  # the index last: it says all is there
            publish(part, part.with_name(part.name.removeprefix(".")))
        self._damaged.discard(name)
        others = [other for other in _complete(self._folder) if other != name]
        whole = [other for other in others if other not in self._damaged]
        kept = [*whole[len(whole) - self._keep + 1 :], name]
        lines = [f'all_model_checkpoint_paths: "{each}"\n' for each in kept]
        text = f'model_checkpoint_path: "{name}"\n' + "".join(lines)
        write_text(self._folder / _LIST, text)
        self._remove_all_but(kept)
        if self._on_save is not None:
            self._on_save()

    def _remove_all_but(self, names: list[str]) -> None:
        """Removes every state but some, and what killed processes have left of others."""
        for path in self._folder.glob("*"):
            state = path.name.partition(".")[0]
            if path.name == _LIST or state in names:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Removes what a killed process has left of states that are no longer kept.

        It is for the process that saves, which is not saving meanwhile. The next `save` would do
        the same, but after the last one there is none.
        """
        self._remove_all_but(newest_first(self._folder))

    def restore(self) -> str | None:
        """Reads the newest state that is undamaged, and says which damaged ones it passed over.

        Returns:
            The state's path; None if the folder holds none.

        Raises:
            RunError: If there are states and none of them can be read.
        """
        passed = []
        for name in newest_first(self._folder):
            path = str(self._folder / name)
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, IndexError) as error:
                if not _is_damage(error):
                    raise
                passed.append(f"{path} is damaged ({_reason(error)})")
                self._damaged.add(name)
                continue
            for text in passed:
                print(f"{text}; it is passed over and will be replaced", flush=True)
            return path
        if passed:
            raise RunError(
                f"{'; '.join(passed)}. Bring back a copy of {self._folder}, or remove "
                f"checkpoints, best and model.keras from {self._folder.parent} to train again"
            )
        return None


def newest_first(folder: pathlib.Path) -> list[str]:
    """The names of the states in a folder, as their files and the list of them tell.

    The list comes first, which knows the order of states that an earlier version has written. It
    may be empty or full of zeros after a loss of power.
    """
    found = _listed(folder) + _complete(folder)[::-1]
    return list(dict.fromkeys(found))


def _listed(folder: pathlib.Path) -> list[str]:
    """The state that the list calls the newest; nothing if it cannot be read."""
    path = folder / _LIST
    if not path.exists():
        return []
    first, *_ = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    key, _, value = first.partition(": ")
    name = pathlib.PurePath(value.strip('"')).name
    return [name] if key == "model_checkpoint_path" and name else []


def _complete(folder: pathlib.Path) -> list[str]:
    """The names of the states whose index is there, the oldest first."""
    names = [path.stem for path in folder.glob(f"{_NAME}*.index")]
    return sorted(names, key=_number)


def _number(name: str) -> int:
    digits = name.removeprefix(_NAME)
    return int(digits) if digits.isdigit() else 0


def _is_damage(error: Exception) -> bool:
    if of_a_file(error) not in ("", "No such file or directory"):  # no right to read, for example
        return False
    return isinstance(error, _DAMAGE) or type(error) is tf.errors.OpError


def _reason(error: Exception) -> str:
    if isinstance(error, tf.errors.NotFoundError):
        return "its files are gone"
    message = " ".join(str(error).split())
    return message[:120]
