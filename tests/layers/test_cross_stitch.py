"""Cross-stitch units."""

from __future__ import annotations

import numpy as np

from tafe_tf.layers import CrossStitch


def test_cross_stitches_start_as_their_paper_has_them() -> None:
    stitch = CrossStitch()
    stitch.build((None, 3, 2))
    x = np.array([[[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]])
    np.testing.assert_allclose(
        stitch(x)[0, 0], 0.9 * x[0, 0] + 0.05 * (x[0, 1] + x[0, 2]), rtol=1e-6
    )
