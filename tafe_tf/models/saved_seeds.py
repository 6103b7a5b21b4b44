"""Dropout's seeds saved with the weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class SavedSeeds(keras.Model):
    """A model that saves the seeds of its dropout layers too, which Keras leaves out.

    A model that is saved and loaded then goes on training with the same weights, to the bit.
    """

    def save_own_variables(self, store: Any) -> None:
        """Saves the model's own variables, and the seeds as one array."""
        super().save_own_variables(store)
        seeds = [ops.convert_to_numpy(seed) for seed in self._seeds()]
        if seeds:
            store["seeds"] = np.stack(seeds)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved, from a model with the same dropout or without."""
        kept = {key: store[key] for key in list(store.keys())}
        seeds = kept.pop("seeds", ())
        super().load_own_variables(kept)
        for seed, value in zip(self._seeds(), seeds, strict=False):
            seed.assign(value)

    def _seeds(self) -> list[keras.Variable]:
        """Returns the states of all random layers, in the order of the model's variables."""
        seeds = []
        for variable in self.variables:
            if variable.name == "seed_generator_state":
                seeds.append(variable)
        return seeds
