"""The schema of the AliExpress data is the one that the repository ships."""

from __future__ import annotations

import pathlib

from tafe_tf import schema_toml
from tafe_tf.data.public.aliexpress_schema import schema_of

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_the_schema_in_flagfiles_is_the_one_written() -> None:
    shipped = schema_toml.load(ROOT / "flagfiles/schemas/aliexpress.toml")
    assert shipped == schema_of() == schema_of(["NL"])


def test_several_countries_are_a_feature() -> None:
    one, two = schema_of(["NL"]), schema_of(["NL", "ES"])
    assert two.features[1:] == one.features
    assert (two.features[0].name, two.features[0].side) == ("country", "user")
