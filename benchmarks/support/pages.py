"""The sections of a page that a command makes, of which some stay as they are."""

from __future__ import annotations

import pathlib
import re

from tafe_tf.data.atomic import write_text


def sections(page: str) -> dict[str, str]:
    """A page's sections by title, without the text before the first.

    Example:
        >>> sections("# Page\\n\\nText.\\n\\n## First\\n\\nOne.\\n\\n## Second\\n\\nTwo.\\n")
        {'First': '## First\\n\\nOne.\\n', 'Second': '## Second\\n\\nTwo.\\n'}
    """
    _, *parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    found = {}
    for part in parts:
        title = part.split("\n", 1)[0].removeprefix("## ")
        found[title] = part.rstrip("\n") + "\n"
    return found


def renew(
    page: pathlib.Path,
    notes: str,
    made: dict[str, str],
) -> None:
    """Writes a page: notes that come first, and its sections, those given in place of the old ones.

    Args:
        page: The file, which may be there already.
        notes: What is written by hand. Sections of the old page with one of its titles go.
        made: The new sections by title.
    """
    known = sections(page.read_text(encoding="utf-8")) if page.exists() else {}
    of_notes = sections(notes)
    kept = {title: text for title, text in known.items() if title not in of_notes}
    write_text(page, "\n".join([notes, *(kept | made).values()]))
