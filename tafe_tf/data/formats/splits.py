"""The files of a data set by split, be it one file or a directory with files of any name."""

from __future__ import annotations

import pathlib

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import extension_of, find_files

SPLITS = ("train", "valid", "test")


def find_splits(data: str | pathlib.Path) -> dict[str, tuple[str, ...]]:
    """Finds the training, validation and test files.

    Args:
        data: One file, whose rows are all training rows; or a directory with files `train`, `valid`
            and `test`, see `find_files`; or a directory without any file of these names, whose
            files are all training files.

    Returns:
        The paths of each split, sorted; only "train" is never empty.

    Raises:
        DataError: If there are no training files, or the files of a split are of several formats.
        FileNotFoundError: If `data` is not there.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "part-0.csv").write_text("click\\n1\\n")
        >>> [pathlib.Path(path).name for path in find_splits(folder)["train"]]
        ['part-0.csv']
    """
    path = pathlib.Path(data)
    if not path.exists():
        raise FileNotFoundError(f"{data}: there is no such file or directory")
    if path.is_file():
        extension_of(path)
        return {"train": (str(data),), "valid": (), "test": ()}
    found = {split: tuple(find_files(path, split, required=False)) for split in SPLITS}
    if found["train"]:
        return found
    if any(found.values()):
        find_files(path, "train")  # raises
    return {**found, "train": _all_files(path)}


def default_schema_file(data: str | pathlib.Path) -> str:
    """Where a data set's schema lies by default: in its directory, or beside its one file."""
    path = pathlib.Path(data)
    directory = path.parent if path.is_file() else path
    return f"{directory}/schema.toml"


def _all_files(directory: pathlib.Path) -> tuple[str, ...]:
    """All data files of a directory; "." and "_" begin the names of what is none."""
    files = []
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.name[0] not in "._" and _is_data(path):
            files.append(str(path))
    formats = {extension_of(path).removesuffix(".gz").removesuffix(".zst") for path in files}
    if len(formats) > 1:
        listed = ", ".join(files)
        raise DataError(f"{directory}: the files must be of one format. Received: {listed}")
    if not files:
        find_files(directory, "train")  # raises
    return tuple(files)


def _is_data(path: pathlib.Path) -> bool:
    try:
        extension_of(path)
    except DataError:
        return False
    return True
