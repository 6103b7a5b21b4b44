"""The hash that holds rows out, against the published algorithm in Python's integers."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.blocks.block import Block


def splitmix64(seed: int) -> int:
    """The first number of SplitMix64 (Steele, Lea, Flood 2014), from 0 to 2^64 - 1."""
    mask = 2**64 - 1
    x = (seed + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def block(file: int, count: int) -> Block:
    return Block(
        columns={},
        time=np.arange(count) / 2,
        labels=np.zeros((count, 2), np.uint8),
        row=np.arange(1, count + 1),
        file=np.full(count, file, np.int32),
        raw_rows=count,
    )


def test_splitmix64_is_the_published_one() -> None:
    assert splitmix64(1234567) == 6457827717110365317  # rosettacode.org/wiki/Pseudo-random_numbers


def test_rows_are_drawn_by_the_hash_of_their_place() -> None:
    for file in (0, 3):
        for fraction in (0.0, 0.1, 0.5, 1.0):
            found = Holdout(fraction=fraction).mask(block(file, 500))
            hashes = [splitmix64((file << 40) + row) >> 11 for row in range(1, 501)]
            assert found.tolist() == [x / 2**53 < fraction for x in hashes]


def test_a_time_holds_out_what_is_not_earlier() -> None:
    found = Holdout(fraction=1.0, time=2.0).mask(block(0, 6))
    assert found.tolist() == [False, False, False, False, True, True]


def test_a_group_is_held_out_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    users = np.array([f"user {i}" for i in rng.integers(0, 300, 5000)], object)
    users[::7] = ""
    rows = dataclasses.replace(block(0, 5000), columns={"user": users})
    found = Holdout(fraction=0.2, group="user").mask(rows)
    held_out = set(users[found]) - {""}
    trained = set(users[~found]) - {""}
    assert not held_out & trained
    assert 0.12 < len(held_out) / 300 < 0.28
    assert 0.15 < found[users == ""].mean() < 0.25
    as_bytes = np.array([user.encode() for user in users], object)
    again = dataclasses.replace(block(2, 5000), columns={"user": as_bytes})
    np.testing.assert_array_equal(
        Holdout(fraction=0.2, group="user").mask(again)[users != ""], found[users != ""]
    )
