"""The usual two stages: TensorFlow Recommenders retrieves items, and TAFE ranks them.

    TF_USE_LEGACY_KERAS=1 python examples/two_stage.py --work_dir=runs/two_stage

Invents a shop whose true probabilities are known, trains both stages on its impressions, exports
TAFE as TensorFlow Serving would get it, and prints what the order of each stage is worth. It takes
under four minutes on two cores. Stage 1 learns from clicks alone: two towers, whose scores an index
can search. Stage 2 reads user and item together, and learns what is bought. TensorFlow Recommenders
needs legacy Keras as `tf.keras`; TAFE is trained by `tafe_tf.fit` in the same process.
"""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from absl import app, flags, logging

import tafe_tf
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.export.session_model import SessionModel
from tafe_tf.schema import Feature, Schema, Task

USER = ("age", "city", "device")
ITEM = ("brand", "category", "shelf")
VALUES = 20  # of each attribute
TASKS = ("click", "buy")

Columns = dict[str, np.ndarray]

_WORK_DIR = flags.DEFINE_string(
    "work_dir", "", "Directory for TAFE's run and its export; must be given."
)
_USERS = flags.DEFINE_integer("users", 500, "Number of users.", lower_bound=1)
_ITEMS = flags.DEFINE_integer("items", 1000, "Number of items.", lower_bound=2)
_ROWS = flags.DEFINE_integer(
    "rows",
    200_000,
    "Number of impressions to learn from, each of any user and any item.",
    lower_bound=1000,
)
_RETRIEVED = flags.DEFINE_integer(
    "retrieved", 50, "Number of items that stage 1 hands to stage 2.", lower_bound=1
)


class Shop:
    """Users and items with three attributes each, and the true funnel of every pair of them.

    Args:
        users: number of users.
        items: number of items.
    """

    def __init__(self, users: int, items: int) -> None:
        rng = np.random.default_rng(1)
        self.users = rng.integers(0, VALUES, (users, len(USER)))
        self.items = rng.integers(0, VALUES, (items, len(ITEM)))
        self.funnel = SyntheticFunnel(
            TASKS,
            rates=(0.2, 0.05),
            fields=len(USER) + len(ITEM),
            values=VALUES,
            interaction=0.5,
        )

    def truth(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """P(click) and P(click and buy) of pairs, [rows, 2].

        Args:
            user: each pair's user by number, [rows].
            item: each pair's item by number, [rows].
        """
        attributes = np.concatenate([self.users[user], self.items[item]], axis=1)
        return self.funnel.probabilities(attributes)

    def impressions(self, rows: int, seed: int) -> Columns:
        """Draws impressions of any user and any item: attributes, labels, and the item's number."""
        rng = np.random.default_rng(seed)
        user = rng.integers(0, len(self.users), rows)
        item = rng.integers(0, len(self.items), rows)
        labels = self.truth(user, item) > rng.random((rows, 1))
        return {
            **columns(USER, self.users[user]),
            **columns(ITEM, self.items[item]),
            **columns(TASKS, labels.astype(np.int64)),
            "item": item,
        }


def schema() -> Schema:
    """What the columns are."""
    features = []
    for side, names in (("user", USER), ("item", ITEM)):
        for name in names:
            features.append(Feature(name=name, kind="integer", size=VALUES, side=side))
    tasks = [Task(name=name) for name in TASKS]
    return Schema(name="shop", features=tuple(features), tasks=tuple(tasks))


def columns(names: tuple[str, ...], values: np.ndarray) -> Columns:
    """Names the columns of an array [rows, names]."""
    return dict(zip(names, values.T, strict=True))


class TwoTowers(tfrs.models.Model):
    """Stage 1: a tower for users and one for items; their dot product ranks clicked items first."""

    def __init__(self) -> None:
        super().__init__()
        self.users = tower()
        self.items = tower()
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The sampled softmax over a batch's items, corrected for how often an item is in one."""
        users = self.users(inputs["user"])
        items = self.items(inputs["item"])
        return self.task(
            users,
            items,
            candidate_sampling_probability=inputs["share"],
            compute_metrics=not training,
        )


def tower() -> tf.keras.Model:
    """Makes a network from three attributes [B, 3] to an embedding [B, 32]."""
    first_id = tf.constant([0, VALUES, 2 * VALUES])  # of each attribute
    return tf.keras.Sequential(
        [
            tf.keras.layers.Lambda(lambda values: values + tf.cast(first_id, values.dtype)),
            tf.keras.layers.Embedding(3 * VALUES, 16),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, "relu"),
            tf.keras.layers.Dense(32),
        ]
    )


def retriever(shop: Shop, rows: Columns, retrieved: int) -> tfrs.layers.factorized_top_k.BruteForce:
    """Trains stage 1 on the clicked impressions.

    Args:
        shop: the shop.
        rows: impressions.
        retrieved: number of items to retrieve for a user.

    Returns:
        An index: attributes of users [B, 3] -> scores and numbers of items, [B, retrieved] each.
    """
    clicked = {name: values[rows["click"] == 1] for name, values in rows.items()}
    clicks = len(clicked["item"])
    share_of_item = np.bincount(clicked["item"], minlength=len(shop.items)) / clicks
    examples = {
        "user": np.stack([clicked[name] for name in USER], axis=1),
        "item": np.stack([clicked[name] for name in ITEM], axis=1),
        "share": share_of_item[clicked["item"]].astype(np.float32),
    }
    batches = tf.data.Dataset.from_tensor_slices(examples).shuffle(clicks, seed=0).batch(512)
    towers = TwoTowers()
    towers.compile(tf.keras.optimizers.Adagrad(0.1))
    towers.fit(batches, epochs=5, verbose=2)
    index = tfrs.layers.factorized_top_k.BruteForce(towers.users, k=retrieved)
    index.index(towers.items(shop.items), tf.range(len(shop.items)))
    return index


def ranker(shop: Shop, rows: Columns, work_dir: pathlib.Path) -> SessionModel:
    """Trains stage 2, TAFE, on all impressions, and loads its export as TensorFlow Serving does.

    Args:
        shop: the shop.
        rows: impressions.
        work_dir: where the run and the export go.
    """
    run = tafe_tf.fit(
        schema(),
        train=rows,
        valid=shop.impressions(4096, seed=2),
        run_dir=work_dir / "run",
        num_inducing=16,
        num_layers=2,
        batch_size=512,
        learning_rate=5e-3,
        epochs=3,
    )
    return SessionModel(run.export(work_dir / "export"))


def two_stages(
    shop: Shop, index: tfrs.layers.factorized_top_k.BruteForce, served: SessionModel
) -> dict[str, float]:
    """Asks both stages for every user, and prints the first user's list.

    Args:
        shop: the shop.
        index: stage 1.
        served: stage 2.

    Returns:
        What each choice is worth: the true P(click and buy), in the mean over users, of any item,
        of the item that each stage puts first, and of the best item among those retrieved and
        among all.
    """
    names = ["any item", "stage 1's first", "stage 2's first", "best retrieved", "best of all"]
    all_items = np.arange(len(shop.items))
    worth = []
    _, retrieved = index(shop.users)
    for user, items in enumerate(retrieved.numpy()):
        request = {**columns(USER, shop.users[[user]]), **columns(ITEM, shop.items[items])}
        ctcvr = served(request, "rank")["ctcvr"]
        order = np.argsort(-ctcvr)
        buy = shop.truth(np.full(len(all_items), user), all_items)[:, 1]
        first = buy[items[0]]
        ranked_first = buy[items[order[0]]]
        worth.append([buy.mean(), first, ranked_first, buy[items].max(), buy.max()])
        if user == 0:
            show_list(items, order, ctcvr, buy)
    means = np.mean(worth, axis=0).tolist()
    return dict(zip(names, means, strict=True))


def show_list(items: np.ndarray, order: np.ndarray, ctcvr: np.ndarray, buy: np.ndarray) -> None:
    """Prints the five items that stage 2 puts first.

    Args:
        items: the items in the order of stage 1.
        order: the order of stage 2, as places in the order of stage 1.
        ctcvr: predicted P(click and buy) by place in the order of stage 1.
        buy: true P(click and buy) by item.
    """
    print("the first user's list\n  item  retrieved as    ctcvr     true")
    for place in order[:5]:
        item = items[place]
        print(f"  {item:4}  {place + 1:12}   {ctcvr[place]:.4f}   {buy[item]:.4f}")


def run(
    work_dir: pathlib.Path, users: int, items: int, rows: int, retrieved: int
) -> dict[str, float]:
    """Trains both stages and compares them; returns what `two_stages` does.

    Args:
        work_dir: where TAFE's run and its export go.
        users: number of users.
        items: number of items.
        rows: number of impressions to learn from.
        retrieved: number of items that stage 1 hands to stage 2.
    """
    shop = Shop(users, items)
    impressions = shop.impressions(rows, seed=1)
    tf.keras.utils.set_random_seed(0)
    print("== Stage 1: two towers, learned from clicks")
    index = retriever(shop, impressions, retrieved)
    print("== Stage 2: TAFE, learned from all impressions, and exported")
    served = ranker(shop, impressions, work_dir)
    print("== Both")
    worth = two_stages(shop, index, served)
    served.close()
    print(f"true P(click and buy) of the item on top, mean over {users} users")
    for name, value in worth.items():
        print(f"  {name:20} {value:.4f}")
    return worth


def main(argv: list[str]) -> None:
    """Runs the example."""
    if len(argv) > 1 or not _WORK_DIR.value:
        raise app.UsageError("--work_dir must be given, and nothing but flags")
    logging.set_verbosity(logging.WARNING)
    run(pathlib.Path(_WORK_DIR.value), _USERS.value, _ITEMS.value, _ROWS.value, _RETRIEVED.value)


if __name__ == "__main__":
    app.run(main)
