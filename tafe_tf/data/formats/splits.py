"""The files of a data set by split: a directory, one file, or what patterns name for each split."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import ENDINGS, REFUSED, extension_of, is_visible
from tafe_tf.data.formats.partitions import check_same_keys
from tafe_tf.data.formats.patterns import (
    below,
    check_ended,
    check_formats,
    find_sources,
    is_data,
)
from tafe_tf.storage.addresses import absolute, is_remote, join, name_of, parent_of
from tafe_tf.storage.listing import entries, exists, is_file

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the rows of a data set are: in a directory, or in files that are named by split.

    Attributes:
        data_dir: A directory or one file, see `find_splits`. Default: "".
        train: What names the training files, see `patterns.find_sources`. Default: nothing.
        valid: What names the validation files. Default: nothing.
        test: What names the test files. Default: nothing.
        input_format: The format of files without an ending: "csv", "parquet", "orc" or "tfrecord".
            Default: "", there are none.

    Raises:
        DataError: If there are both a directory and names by split.
    """

    data_dir: str = ""
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    input_format: str = ""

    def __post_init__(self) -> None:
        given = [f"--{split}" for split in SPLITS if self._texts(split)]
        if self.data_dir and given:
            raise DataError(
                f"--data_dir and {given[0]} must not both be given: the directory has files of "
                "every split"
            )

    def __str__(self) -> str:
        return self.data_dir or ",".join(self.train)

    @property
    def are_given(self) -> bool:
        """Whether anything says where rows are."""
        return bool(self.data_dir or any(map(self._texts, SPLITS)))

    def find(self) -> dict[str, tuple[str, ...]]:
        """The paths of each split, sorted; only "train" is never empty.

        Raises:
            DataError: See `find_split` and `patterns.find_sources`.
            FileNotFoundError: If a path is not there.
        """
        if self.data_dir:
            return find_splits(self.data_dir, self.input_format)
        return {split: self.find_split(split, required=split == "train") for split in SPLITS}

    def find_split(self, split: str, required: bool = True) -> tuple[str, ...]:
        """The paths of one split.

        Args:
            split: "train", "valid" or "test".
            required: Whether to raise if there is no such file. Default: True.

        Raises:
            DataError: See `find_split` and `patterns.find_sources`.
            FileNotFoundError: If a path is not there.
        """
        if self.data_dir:
            return tuple(find_split(self.data_dir, split, required, self.input_format))
        if required and not self._texts(split):
            raise DataError(
                f"--{split} must be given, a file or a pattern; or --data_dir, the folder with the "
                "files of every split"
            )
        return find_sources(self._texts(split), self.input_format)

    def absolute(self) -> Sources:
        """The same with absolute paths, for other machines or folders to find the same files."""
        return Sources(
            data_dir=absolute(self.data_dir) if self.data_dir else "",
            train=tuple(map(_absolute, self.train)),
            valid=tuple(map(_absolute, self.valid)),
            test=tuple(map(_absolute, self.test)),
            input_format=self.input_format,
        )

    @property
    def schema_file(self) -> str:
        """Where the schema lies by default: in the directory of the rows, or beside their one file.

        Raises:
            DataError: If it is not one directory or file that holds the training rows.
        """
        data = self.data_dir
        if not data and len(self.train) == 1:
            data = self.train[0]
        if not data or not (self.data_dir or exists(data)):
            raise DataError(
                "--schema must be given where --train names no single file or directory, beside "
                "which schema.toml would lie"
            )
        return default_schema_file(data)

    def _texts(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


def common_folder(files: Mapping[str, Sequence[str]]) -> str:
    """The absolute path of the folder that all files share.

    Args:
        files: Their paths by split.
    """
    paths = itertools.chain.from_iterable(files.values())
    folders = [os.path.dirname(absolute(path)) for path in paths]
    if any(map(is_remote, folders)):
        return _common_prefix(folders)
    return os.path.commonpath(folders)


def _common_prefix(uris: Sequence[str]) -> str:
    """The longest URI of which all are parts below."""
    shared = []
    for parts in zip(*(uri.split("/") for uri in uris), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _absolute(text: str) -> str:
    """What names files, with an absolute path; a pattern stays one."""
    is_list = text.startswith("@")
    return f"@{absolute(text[1:])}" if is_list else absolute(text)


def find_splits(data: str | pathlib.Path, input_format: str = "") -> dict[str, tuple[str, ...]]:
    """Finds the training, validation and test files.

    Args:
        data: One file, whose rows are all training rows; or a directory with files `train`, `valid`
            and `test`, see `find_files`; or a directory without any file of these names, whose
            files are all training files, with those of its folders that hold values, such as
            `dt=2026-11-18`.
        input_format: See `find_sources`. Default: "".

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
    found = {}
    for split in SPLITS:
        found[split] = tuple(find_split(data, split, False, input_format))
    if not found["train"]:
        find_split(data, "train", True, input_format)  # raises
    return found


def find_split(
    data: str | pathlib.Path,
    split: str,
    required: bool = True,
    input_format: str = "",
) -> list[str]:
    """Finds the files of one split, see `find_splits`.

    Args:
        data: One file or a directory.
        split: "train", "valid" or "test".
        required: Whether to raise if there is no such file. Default: True.
        input_format: See `find_sources`. Default: "".

    Raises:
        DataError: If files are required and missing, are of several formats, or are shards of a
            job that has not ended.
        FileNotFoundError: If `data` is not there.
    """
    if not exists(data):
        raise FileNotFoundError(f"{data}: there is no such file or directory")
    if not is_file(data):
        return _in_directory(data, split, required, input_format)
    extension_of(data)  # raises if it is no data
    check_formats([str(data)], input_format)
    if split == "train":
        return [str(data)]
    if required:
        raise DataError(f"{data}: is one file, whose rows are all training rows: no {split!r} rows")
    return []


def find_files(
    data_dir: str | pathlib.Path,
    split: str,
    required: bool = True,
    input_format: str = "",
) -> list[str]:
    """Finds a split's files below `data_dir`.

    They are `<split>.EXT`, `<split>-*.EXT` and `<split>/*.EXT`, and `<split>.EXT/*.EXT` where a
    folder has the name of a file, as Spark writes it. In a folder of a split, files lie in folders
    that hold values as well: `<split>/dt=2026-11-18/*.EXT`.

    Args:
        data_dir: The dataset's directory.
        split: "train", "valid" or "test".
        required: Whether to raise if there is no such file. Default: True.
        input_format: See `find_sources`. Default: "".

    Returns:
        The paths, sorted. Hidden files, marks and empty files are left out.

    Raises:
        DataError: If files are required and missing, are of several formats, or lie in folders of
            different keys.
    """
    found: list[str] = []
    for path, is_folder in _named_after(data_dir, split):
        if name_of(path) not in (split, *(f"{split}{ending}" for ending in (*ENDINGS, *REFUSED))):
            is_shard = name_of(path).startswith(f"{split}-")
            found += [path] if is_shard and not is_folder else []
        elif is_folder:
            found += below(path, of_partitions=True)
        else:
            found.append(path)
    visible = filter(is_visible, found)
    files = sorted(path for path in visible if is_data(path, input_format))
    check_formats(files, input_format)
    check_same_keys(files)
    if required and not files:
        places = f"{split}.EXT, {split}-*.EXT or {split}/*.EXT"
        kinds = ", ".join(ENDINGS)
        raise DataError(f"{data_dir}: no file {places}, where EXT is one of {kinds}")
    return files


def _named_after(data_dir: str | pathlib.Path, split: str) -> Iterator[tuple[str, bool]]:
    """What has a name that begins with a split's: its path, and whether it is a folder."""
    if not is_remote(data_dir):
        for path in pathlib.Path(data_dir).glob(f"{split}*"):
            yield str(path), path.is_dir()
        return
    for entry in entries(data_dir):
        if name_of(entry.path).startswith(split):
            yield entry.path, not entry.is_file


def default_schema_file(data: str | pathlib.Path) -> str:
    """Where a data set's schema lies by default: in its directory, or beside its one file."""
    if is_remote(data):
        return join(parent_of(data) if is_file(data) else data, "schema.toml")
    path = pathlib.Path(data)
    directory = path.parent if path.is_file() else path
    return f"{directory}/schema.toml"


def _in_directory(
    directory: str | pathlib.Path,
    split: str,
    required: bool,
    input_format: str,
) -> list[str]:
    check_ended(directory)
    files = find_files(directory, split, False, input_format)
    if not files and split == "train":
        has_names = any(find_files(directory, other, False, input_format) for other in SPLITS)
        if not has_names:
            files = _all_files(directory, input_format)
    if not files and required:
        find_files(directory, split, True, input_format)  # raises
    return files


def _all_files(directory: str | pathlib.Path, input_format: str) -> list[str]:
    """All data files of a directory and of its folders that hold values, sorted."""
    files = []
    for path in below(directory, of_partitions=True):
        if is_data(path, input_format):
            files.append(path)
    files.sort()
    check_formats(files, input_format)
    check_same_keys(files)
    return files
