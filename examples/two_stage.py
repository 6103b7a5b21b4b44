"""The usual two stages: TensorFlow Recommenders retrieves items for a user, TAFE ranks them by P(click and buy).

    TF_USE_LEGACY_KERAS=1 python examples/two_stage.py --work_dir=runs/two_stage

invents a shop whose true probabilities are known, trains both stages on its impressions, exports TAFE as TensorFlow
Serving would get it, and tells what each stage's order is worth; it takes under four minutes on two cores. Stage 1
learns from clicks alone, two towers whose scores an index can search; stage 2 reads user and item together and knows
what is bought.
"""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from absl import app, flags, logging

from tafe_tf import schema
from tafe_tf.data.atomic import write_text
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.formats.write import write
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.export.saved_model import export
from tafe_tf.export.session_model import SessionModel, versions
from tafe_tf.features import vocabulary
from tafe_tf.models import TAFE
from tafe_tf.tfrs import FunnelRecommender
from tafe_tf.training.run_dir import RunDir

USER, ITEM, VALUES = ("age", "city", "device"), ("brand", "category", "shelf"), 20
Columns = dict[str, np.ndarray]

_WORK_DIR = flags.DEFINE_string(
    "work_dir", "", "Where the shop's files, TAFE's run and its export go."
)
_USERS = flags.DEFINE_integer("users", 500, "Users.", lower_bound=1)
_ITEMS = flags.DEFINE_integer("items", 1000, "Items.", lower_bound=2)
_ROWS = flags.DEFINE_integer(
    "rows", 200_000, "Impressions to learn from, of any user and any item.", lower_bound=1000
)
_RETRIEVED = flags.DEFINE_integer(
    "retrieved", 50, "Items that stage 1 hands to stage 2.", lower_bound=1
)


class Shop:
    """Users and items with three attributes each, and the true funnel of every pair of them.

    Args:
        users: how many.
        items: how many.
    """

    def __init__(self, users: int, items: int) -> None:
        self.tasks = ("click", "buy")
        self.funnel = SyntheticFunnel(
            self.tasks, rates=(0.2, 0.05), fields=6, values=VALUES, interaction=0.5
        )
        rng = np.random.default_rng(1)
        self.users, self.items = (
            rng.integers(0, VALUES, (users, 3)),
            rng.integers(0, VALUES, (items, 3)),
        )

    def truth(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """P(click), P(click and buy) of pairs, [rows, 2], of users and items by number."""
        return self.funnel.probabilities(
            np.concatenate([self.users[user], self.items[item]], axis=1)
        )

    def impressions(self, rows: int, seed: int) -> Columns:
        """Impressions of any user and any item: the pair's numbers, its attributes and its labels."""
        rng = np.random.default_rng(seed)
        user, item = rng.integers(0, len(self.users), rows), rng.integers(0, len(self.items), rows)
        labels = (self.truth(user, item) > rng.random((rows, 1))).astype(np.int64)
        return {
            **columns(USER, self.users[user]),
            **columns(ITEM, self.items[item]),
            **columns(self.tasks, labels),
            "item": item,
        }

    def schema(self) -> str:
        """The dataset's TOML."""
        tasks = [f'[[tasks]]\nname = "{task}"\n' for task in self.tasks]
        sides = {**dict.fromkeys(USER, "user"), **dict.fromkeys(ITEM, "item")}
        features = [
            f'[[features]]\nname = "{name}"\nkind = "integer"\nsize = {VALUES}\nside = "{side}"\n'
            for name, side in sides.items()
        ]
        return "\n".join(['name = "shop"\n', *tasks, *features])


def columns(names: tuple[str, ...], values: np.ndarray) -> Columns:
    """[rows, names] -> named columns."""
    return dict(zip(names, values.T, strict=True))


class TwoTowers(tfrs.models.Model):
    """Stage 1: a tower for users and one for items, whose dot product tells clicked items from others."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = tower(), tower()
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The sampled softmax of a batch's items, corrected for how often an item is in a batch."""
        users, items = self.users(inputs["user"]), self.items(inputs["item"])
        return self.task(
            users,
            items,
            candidate_sampling_probability=inputs["share"],
            compute_metrics=not training,
        )


def tower() -> tf.keras.Model:
    """Three attributes [B, 3] -> embeddings [B, 32]."""
    return tf.keras.Sequential(
        [
            tf.keras.layers.Lambda(
                lambda ids: ids + tf.constant([0, VALUES, 2 * VALUES], ids.dtype)
            ),
            tf.keras.layers.Embedding(3 * VALUES, 16),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, "relu"),
            tf.keras.layers.Dense(32),
        ]
    )


def retriever(shop: Shop, rows: Columns, retrieved: int) -> tfrs.layers.factorized_top_k.BruteForce:
    """Trains stage 1 on the clicked impressions: attributes of users [B, 3] -> scores and items [B, retrieved]."""
    clicked = {name: values[rows["click"] == 1] for name, values in rows.items()}
    share = np.bincount(clicked["item"], minlength=len(shop.items)) / len(clicked["item"])
    batches = tf.data.Dataset.from_tensor_slices(
        {
            "user": np.stack([clicked[name] for name in USER], axis=1),
            "item": np.stack([clicked[name] for name in ITEM], axis=1),
            "share": share[clicked["item"]].astype(np.float32),
        }
    )
    towers = TwoTowers()
    towers.compile(tf.keras.optimizers.Adagrad(0.1))
    towers.fit(batches.shuffle(len(clicked["item"]), seed=0).batch(512), epochs=5, verbose=2)
    index = tfrs.layers.factorized_top_k.BruteForce(towers.users, k=retrieved)
    index.index(towers.items(shop.items), tf.range(len(shop.items)))
    return index


def ranker(shop: Shop, rows: Columns, work_dir: pathlib.Path) -> SessionModel:
    """Trains stage 2, TAFE, on all impressions, exports it, and loads it as TensorFlow Serving does."""
    work_dir.mkdir(parents=True, exist_ok=True)
    write_text(work_dir / "schema.toml", shop.schema())
    write(work_dir / "train.parquet", rows)
    write(work_dir / "valid.parquet", shop.impressions(4096, seed=2))
    dataset = schema.load(work_dir / "schema.toml")
    run = RunDir(work_dir / "run")
    run.claim({}, "tafe", (work_dir / "schema.toml").read_text(encoding="utf-8"))
    vocabulary.build([str(work_dir / "train.parquet")], dataset, run.path, BadRows())
    features = run.features()

    keras.utils.set_random_seed(0)
    model = TAFE(features.rows, len(dataset.tasks), num_inducing=16, num_layers=2)
    recommender = FunnelRecommender(model, dataset, features)
    recommender.compile(tf.keras.optimizers.Adam(5e-3))
    batches = tf.data.Dataset.from_tensor_slices(rows).shuffle(len(rows["item"]), seed=0)
    recommender.fit(batches.batch(512), epochs=3, verbose=2)

    valid = FunnelData(
        files=[str(work_dir / "valid.parquet")],
        schema=dataset,
        batch_size=4096,
        holdout=Holdout(fraction=1.0),
    )
    run.save_model_config(model)
    run.save_data(valid, [])
    run.best(model).save()
    version = len(versions(work_dir / "export")) + 1
    return SessionModel(export(run, work_dir / "export", version))


def two_stages(
    shop: Shop, index: tfrs.layers.factorized_top_k.BruteForce, served: SessionModel
) -> dict[str, float]:
    """Asks both stages for every user; prints the first user's list and returns what each choice is worth.

    Returns:
        The true P(click and buy), in the mean over users, of the item on top: of any item, of stage 1's order, of
        stage 2's, and of the best item among those retrieved and among all.
    """
    everything = np.arange(len(shop.items))
    worth = []
    _, retrieved = index(shop.users)
    for user, items in enumerate(retrieved.numpy()):
        request = {**columns(USER, shop.users[[user]]), **columns(ITEM, shop.items[items])}
        ctcvr = served(request, "rank")["ctcvr"]
        true = shop.truth(np.full(len(everything), user), everything)[:, 1]
        order = np.argsort(-ctcvr)
        worth.append(
            [true.mean(), true[items[0]], true[items[order[0]]], true[items].max(), true.max()]
        )
        if user == 0:
            print("the first user's list\n  item  retrieved as    ctcvr     true")
            for place in order[:5]:
                print(
                    f"  {items[place]:4}  {place + 1:12}   {ctcvr[place]:.4f}   {true[items[place]]:.4f}"
                )
    names = (
        "any item",
        "stage 1's first",
        "stage 2's first",
        "the best retrieved",
        "the best of all",
    )
    return dict(zip(names, np.mean(worth, axis=0).tolist(), strict=True))


def run(
    work_dir: pathlib.Path, users: int, items: int, rows: int, retrieved: int
) -> dict[str, float]:
    """Everything; returns what `two_stages` does."""
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
