"""The files of a data set by split, be it one file or a directory with files of any name."""

from __future__ import annotations

import pathlib

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import remote_splits
from tafe_tf.data.formats.read import extension_of, find_files, format_of, is_visible
from tafe_tf.storage.addresses import is_remote, join, parent_of
from tafe_tf.storage.listing import is_file

SPLITS = ("train", "valid", "test")

# What the jobs that write a directory of shards leave beside them until all shards are there.
_BEGUN = (".prepare/settings.json", ".ali_ccp/settings.json", "preparing.json")


def find_splits(data: str | pathlib.Path) -> dict[str, tuple[str, ...]]:
    """Finds the training, validation and test files.

    Args:
        data: One file, whose rows are all training rows; or a directory with files `train`, `valid`
            and `test`, see `find_files`; or a directory without any file of these names, whose
            files are all training files.

    Returns:
        The paths of each split, sorted; only "train" is never empty.

    Raises:
        DataError: If there are no training files, the files of a split are of several formats, or
            they are shards of a job that has not ended.
        FileNotFoundError: If `data` is not there.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "part-0.csv").write_text("click\\n1\\n")
        >>> [pathlib.Path(path).name for path in find_splits(folder)["train"]]
        ['part-0.csv']
    """
    found = {split: tuple(find_split(data, split, required=False)) for split in SPLITS}
    if not found["train"]:
        find_split(data, "train")  # raises
    return found


def find_split(
    data: str | pathlib.Path,
    split: str,
    required: bool = True,
) -> list[str]:
    """Finds the files of one split, see `find_splits`.

    Args:
        data: One file or a directory.
        split: "train", "valid" or "test".
        required: Whether to raise if there is no such file. Default: True.

    Raises:
        DataError: If files are required and missing, are of several formats, or are shards of a
            job that has not ended.
        FileNotFoundError: If `data` is not there.
    """
    if is_remote(data):
        return remote_splits.find_split(str(data), split, SPLITS, _BEGUN, required)
    path = pathlib.Path(data)
    if not path.exists():
        raise FileNotFoundError(f"{data}: there is no such file or directory")
    if not path.is_file():
        return _in_directory(path, split, required)
    extension_of(path)  # raises if it is no data
    if split == "train":
        return [str(data)]
    if required:
        raise DataError(f"{data}: is one file, whose rows are all training rows: no {split!r} rows")
    return []


def _in_directory(
    directory: pathlib.Path,
    split: str,
    required: bool,
) -> list[str]:
    for name in _BEGUN:
        if (directory / name).exists():
            raise DataError(
                f"{directory}: not all shards are there, since the job that prepares them has not "
                "ended; run the same command again"
            )
    files = find_files(directory, split, required=False)
    if not files and split == "train":
        has_names = any(find_files(directory, other, required=False) for other in SPLITS)
        if not has_names:
            files = _all_files(directory)
    if not files and required:
        find_files(directory, split)  # raises
    return files


def default_schema_file(data: str | pathlib.Path) -> str:
    """Where a data set's schema lies by default: in its directory, or beside its one file."""
    if is_remote(data):
        return join(parent_of(data) if is_file(data) else data, "schema.toml")
    path = pathlib.Path(data)
    directory = path.parent if path.is_file() else path
    return f"{directory}/schema.toml"


def _all_files(directory: pathlib.Path) -> list[str]:
    """All data files of a directory, sorted."""
    files = []
    for path in sorted(directory.iterdir()):
        if path.is_file() and is_visible(path) and _is_data(path):
            files.append(str(path))
    formats = {format_of(path) for path in files}
    if len(formats) > 1:
        received = ", ".join(sorted(formats))
        raise DataError(f"{directory}: the files must be of one format. Received: {received}")
    return files


def _is_data(path: pathlib.Path) -> bool:
    try:
        extension_of(path)
    except DataError:
        return False
    return True
