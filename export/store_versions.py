"""The versions of a model in a store: folders whose names are numbers.

A store has no rename, so a version is sent file by file, and its graph, `saved_model.pb`, last; a
withdrawal removes the graph first. A version without its graph is therefore none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tafe_tf.storage.addresses import join, name_of
from tafe_tf.storage.listing import entries, is_file

GRAPH = "saved_model.pb"


def newest_first(uri: str) -> Iterator[str]:
    """The URIs of the whole versions below a prefix of a store, the highest number first.

    The store is asked for a version's graph only once the version is asked for.

    Args:
        uri: Where versions are published.

    Raises:
        StoreError: If the store cannot be read.
    """
    found = []
    for entry in entries(uri):
        name = name_of(entry.path)
        is_number = re.fullmatch("[0-9]+", name) and int(name) < 1 << 63
        if is_number and not entry.is_file:
            found.append((int(name), entry.path))
    for _, address in sorted(found, reverse=True):
        if is_file(join(address, GRAPH)):
            yield address
