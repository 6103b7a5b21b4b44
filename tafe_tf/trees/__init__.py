"""Gradient-boosted trees of the steps of a funnel: what one would take instead of a network.

    config          the settings
    table           rows of a funnel as the table of numbers that the trees read
    stopping        the held-out metric by which the trees of a step stop
    funnel_trees    a booster for each step, and their logits
    fit             the job: rows in, a run directory out

`tafe_tf.compare --models=gbdt` trains them beside the networks, on the same rows.
"""
