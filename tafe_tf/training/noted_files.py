"""What the files of a run held: weights mean something only with the vocabularies they learned.

`manifest.json` in the run's directory notes a hash of each file once the file is final. Two are
left out, since they hold paths that a user may have to correct: `data.json` and `warm_start.json`.
"""

from __future__ import annotations

import fnmatch
import functools
import pathlib
from collections.abc import Callable, Sequence

from tafe_tf.data import manifest
from tafe_tf.data.atomic import write_json
from tafe_tf.data.manifest import Entries, Entry, ManifestError

MEANING = ("schema.toml", "statistics.json", "vocabulary/*")  # of a model's inputs
WEIGHTS = ("model.json", "best/ckpt-*")
MOMENTS = ("checkpoints/ckpt-*",)
STATES = ("best/ckpt-*", *MOMENTS)
OF_TEST_ROWS = ("metrics.json", "previous_metrics.json")
IMPORTANCE = "importance.json"
SLICES = "slices.json"
METRICS = ("history.json", "predictions.npz", *OF_TEST_ROWS)
PROFILE = "profile.json"  # of the training rows, and at the end of the scores
OF_THE_END = (*WEIGHTS, *MOMENTS, *METRICS, "model.keras", PROFILE)
_BEGUN = (*MEANING, "model.json")  # what is final before the first step

_BELONG = (
    "The weights belong to the files as they were: bring back a copy of them, or train again with "
    "another --run_dir"
)
_MADE_ANEW = "Run the command that trained it again, which makes them anew"


class NotedFiles:
    """The files of a run, by its `manifest.json`.

    Args:
        run_dir: The run's directory.
        on_note: Is called once other files are noted. Default: None.
    """

    def __init__(
        self,
        run_dir: pathlib.Path,
        on_note: Callable[[], None] | None = None,
    ) -> None:
        self._run_dir = run_dir
        self._on_note = on_note
        self._path = run_dir / manifest.FILE

    def begin(self, has_trained: bool = False) -> None:
        """Notes what the weights will belong to; what is made later is noted no more.

        Args:
            has_trained: Whether there are weights already. What is noted of the files to which they
                belong then stays as it is. Default: False.
        """
        noted = self._noted() if has_trained else None
        if noted is None:
            begun = manifest.entries(self._run_dir, self._found(_BEGUN))
        else:
            begun = {name: entry for name, entry in noted.items() if _is_of(name, _BEGUN)}
        self._write(begun)

    def note(self, *patterns: str) -> None:
        """Notes files that are final now. In a run where nothing is noted, nothing is.

        Args:
            *patterns: Which files, such as those of `METRICS`.
        """
        noted = self._noted()
        if noted is not None:
            entries = manifest.entries(self._run_dir, self._found(patterns))
            self._write({**_without(noted, patterns), **entries})

    def forget(self, *patterns: str) -> None:
        """Notes files no more, before they are written anew.

        A process that is killed in between then leaves nothing that differs from its note.

        Args:
            *patterns: Which files.
        """
        noted = self._noted()
        if noted is not None:
            self._write(_without(noted, patterns))

    def is_of_these_weights(self, name: str) -> bool:
        """Whether a file is noted, and not one that training has left behind by going on.

        Of a run of an earlier version, which noted nothing, every file counts.
        """
        noted = self._noted()
        return noted is None or name in noted

    def _write(self, noted: Entries) -> None:
        write_json(self._path, noted)
        if self._on_note is not None:
            self._on_note()

    def check(self, *patterns: str) -> None:
        """Finds that files hold what was noted of them.

        Says in one line that a run of an earlier version, which noted nothing, cannot be checked.

        Args:
            *patterns: Which files, such as those of `MEANING`.

        Raises:
            ManifestError: Naming each file that is gone or holds something else.
        """
        asked = self._asked(patterns)
        if asked is None:
            _say_unchecked(self._run_dir)
            return
        mend = _MADE_ANEW if all(_is_of(name, METRICS) for name in asked) else _BELONG
        manifest.check(self._run_dir, asked, mend, also=self._added(asked, patterns))

    def differences(self, *patterns: str) -> list[str]:
        """What is not as it was noted, a text for each file; empty also if nothing was noted.

        Args:
            *patterns: Which files.
        """
        asked = self._asked(patterns) or {}
        return manifest.differences(self._run_dir, asked)

    def _asked(self, patterns: Sequence[str]) -> dict[str, Entry] | None:
        """What is noted of some files; None if nothing is of any."""
        noted = self._noted()
        if noted is None:
            return None
        return {name: entry for name, entry in noted.items() if _is_of(name, patterns)}

    def _added(self, noted: Entries, patterns: Sequence[str]) -> list[str]:
        """The states that lie beside those that were noted: another run's, for example."""
        found = []
        for pattern in patterns:
            if pattern in STATES and any(_is_of(name, [pattern]) for name in noted):
                unknown = [name for name in self._found([pattern]) if name not in noted]
                found += [f"{name} is not of this run" for name in unknown]
        return found

    def _found(self, patterns: Sequence[str]) -> list[str]:
        """The files that are there."""
        found = []
        for pattern in patterns:
            paths = self._run_dir.glob(pattern)
            found += [path.relative_to(self._run_dir).as_posix() for path in paths]
        return found

    def _noted(self) -> dict[str, Entry] | None:
        """What is noted; None if nothing is."""
        if not self._path.exists():
            return None
        noted = manifest.read(self._path, _BELONG)
        if "schema.toml" not in noted:
            raise ManifestError(f"{self._path}: does not name schema.toml. {_BELONG}")
        return noted


def _without(noted: Entries, patterns: Sequence[str]) -> dict[str, Entry]:
    return {name: entry for name, entry in noted.items() if not _is_of(name, patterns)}


def _is_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@functools.cache
def _say_unchecked(run_dir: pathlib.Path) -> None:
    """Says it once of each run."""
    print(
        f"{run_dir}: has no {manifest.FILE}, as runs of earlier versions: whether its files are "
        "those that it was made with cannot be checked",
        flush=True,
    )
