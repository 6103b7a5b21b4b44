"""The law of delay of synthetic logs, against its draws and an integral."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel

LAW = DelayLaw(mean_days=2.0, window_days=7, log_days=14)
DAY = 86_400
ROWS = 200_000


def test_the_shares_are_those_of_the_draws() -> None:
    times, shows = LAW.draw(np.random.default_rng(1), ROWS)
    end = 1_767_225_600 + 14 * DAY
    age = (end - times) / DAY
    assert times.max() < end
    for low, high in ((0, 1), (1, 2), (3, 5), (5, 7), (7, 14)):
        of_these = (age > low) & (age <= high)
        want = LAW.share_seen(age[of_these]).mean()
        error = np.sqrt(want * (1 - want) / of_these.sum())
        assert shows[of_these].mean() == pytest.approx(want, abs=4 * error + 1e-9)


def test_the_share_of_the_whole_log_is_the_mean_over_its_ages() -> None:
    ages = (np.arange(1_000_000) + 0.5) / 1_000_000 * LAW.log_days
    assert LAW.mean_share_seen == pytest.approx(LAW.share_seen(ages).mean(), abs=1e-6)


def test_only_the_last_label_is_late() -> None:
    late = SyntheticFunnel(fields=2, delay=LAW)
    rows = late.chunk(stream=0, number=0, rows=20_000)
    final = SyntheticFunnel(fields=2).chunk(stream=0, number=0, rows=20_000)
    for name in ("field_0", "field_1", "true_conversion", "click"):
        np.testing.assert_array_equal(rows[name], final[name])
    np.testing.assert_array_equal(rows["final_conversion"], final["conversion"])
    assert (rows["conversion"] <= final["conversion"]).all()
    shown = rows["conversion"].sum() / final["conversion"].sum()
    assert shown == pytest.approx(LAW.mean_share_seen, abs=0.05)
    schema = late.schema()
    assert [task.matures_after for task in schema.tasks] == ["", "7d"]
    assert schema.time == "time"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"mean_days": 0.0}, "delay_days must be a finite number, more than 0. Received: 0.0"),
        ({"mean_days": 1.0, "window_days": 0}, "window_days must be 1 or more. Received: 0"),
        (
            {"mean_days": 1.0, "window_days": 7, "log_days": 7},
            "log_days must be more than window_days, 7. Received: 7",
        ),
    ],
)
def test_what_is_no_law_is_refused(given: dict[str, float], rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        DelayLaw(**given)  # type: ignore[arg-type]
