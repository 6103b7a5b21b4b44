"""The native kernel against the layers in float64, at every target that this machine can run."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.models import MMOE, TAFE
from tafe_tf.native import check, library, stack
from tafe_tf.native.library import Library

ROOT = pathlib.Path(__file__).parents[2]
SMALL = check.Case(rows=33, fields=5, inducing=7, heads=3, dim=6, tasks=3, layers=2)


def small_model(**arguments: Any) -> TAFE:
    keras.utils.set_random_seed(1)
    return TAFE([11] * 5, 3, 6, num_inducing=7, num_heads=3, num_layers=2, **arguments)


def results(model: TAFE, rows: int) -> list[np.ndarray]:
    """T, and the gradients of H and of all weights."""
    rng = np.random.default_rng(3)
    h = tf.constant(rng.normal(size=(rows, 5, 6)), tf.float32)
    d_t = tf.constant(rng.normal(size=(rows, 3, 6)), tf.float32)
    weights = [weight.value for weight in stack.weights_of(model)]
    represent = model.native or model.represent
    with tf.GradientTape() as tape:
        tape.watch(h)
        t = represent(h, tf.constant(2.0), True)
        total = tf.reduce_sum(t * d_t)
    gradients = tape.gradient(total, [h, *weights])
    return [t.numpy(), *(gradient.numpy() for gradient in gradients)]


def test_loss_and_gradients_are_those_of_the_layers(kernel: Library) -> None:
    worst = check.check(kernel)
    assert list(worst) == kernel.targets() != []
    assert kernel.target == kernel.targets()[0]  # the best one is used again


@pytest.mark.parametrize("case", [SMALL, dataclasses.replace(SMALL, heads=1, tasks=1, rows=16)])
def test_a_check_that_finds_a_difference_says_so(
    kernel: Library, case: check.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    represent = TAFE.represent

    def slightly_wrong(model: TAFE, h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        return represent(model, h, gamma * 1.0001, training)

    monkeypatch.setattr(check, "CASES", [case])
    check.check(kernel)
    monkeypatch.setattr(TAFE, "represent", slightly_wrong)
    with pytest.raises(check.CheckError, match="differs from the layers"):
        check.check(kernel)


def test_scores_that_are_large_do_not_overflow(kernel: Library) -> None:
    model = small_model()
    for block in model.blocks:
        block.attention.inducing_points.assign(400.0 * block.attention.inducing_points)
    expected = results(model, rows=20)
    model.native = stack.Stack(model, kernel)
    for ours, theirs in zip(results(model, rows=20), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("rows", [1, 64, 130])
def test_bits_depend_on_neither_threads_nor_time(
    kernel: Library, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_one = None
    for threads in ("1", "2", "3", "3", "7"):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
        model = small_model()
        model.native = stack.Stack(model, kernel)
        found = [array.tobytes() for array in results(model, rows)]
        of_one = of_one or found
        assert found == of_one


def test_without_gradients_t_is_the_same(kernel: Library) -> None:
    model = small_model()
    model.native = stack.Stack(model, kernel)
    h = tf.random.normal((40, 5, 6), seed=1)
    learning = model.native(h, tf.constant(0.5), True)
    np.testing.assert_array_equal(model.native(h, tf.constant(0.5), False), learning)


def test_no_rows(kernel: Library) -> None:
    model = small_model()
    model.native = stack.Stack(model, kernel)
    assert model.native(tf.zeros((0, 5, 6)), tf.constant(1.0), False).shape == (0, 3, 6)
    t, d_h, *d_weights = results(model, rows=0)
    assert t.shape == (0, 3, 6) and d_h.shape == (0, 5, 6)
    assert all((gradient == 0).all() for gradient in d_weights)


def test_a_row_that_is_not_finite_stays_so_and_alone(kernel: Library) -> None:
    model = small_model()
    h = np.random.default_rng(0).normal(size=(20, 5, 6)).astype(np.float32)
    expected = model.represent(tf.constant(h), tf.constant(1.0), False).numpy()
    h[7, 2, 3] = np.nan
    model.native = stack.Stack(model, kernel)
    t = model.native(tf.constant(h), tf.constant(1.0), False).numpy()
    assert np.isnan(t[7]).all()
    others = np.arange(20) != 7
    np.testing.assert_allclose(t[others], expected[others], rtol=0, atol=2e-6)


def test_what_does_not_fit_is_an_error(kernel: Library) -> None:
    model = small_model()
    native = stack.Stack(model, kernel)
    with pytest.raises(tf.errors.InvalidArgumentError, match="input 0 has another shape"):
        native(tf.zeros((4, 6, 6)), tf.constant(1.0), False)


class Doubled(TAFE):
    """A model of one's own, whose middle the kernel does not know."""

    def represent(self, h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        return 2.0 * super().represent(h, gamma, training)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: MMOE([3, 4], 2), "computes TAFE alone"),
        (lambda: Doubled([3, 4], 2, num_layers=1), "computes TAFE alone"),
        (lambda: small_model(use_asrg=False), "TAFE without ASRG"),
        (lambda: small_model(use_tsa=False), "TAFE without TSA"),
        (lambda: small_model(selector_hidden=[4]), "have no hidden layers"),
        (lambda: small_model(dtype="mixed_bfloat16"), "in float32, not in mixed_bfloat16"),
        (lambda: small_model(dtype="float64"), "in float32, not in float64"),
    ],
)
def test_models_that_it_does_not_compute(model: Callable[[], keras.Model], reason: str) -> None:
    made = model()
    assert reason in stack.use(made) and made.native is None
    with pytest.raises(ValueError, match=f"--native=on: .*{reason}"):
        stack.use(made, "on")


def test_ways_of_use(kernel: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    monkeypatch.setattr(library, "load", lambda: kernel)
    assert stack.use(model).startswith(f"native kernel for {kernel.target}")
    assert isinstance(model.native, stack.Stack)
    assert "parameter servers" in stack.use(model, servers=1) and model.native is None
    assert stack.use(model, "off") == "stock layers (--native=off)" and model.native is None
    monkeypatch.setattr(library, "load", lambda: None)
    assert "`tafe native`" in stack.use(model) and model.native is None


def test_a_process_takes_the_operations_of_one_file(
    kernel: Library, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(RuntimeError, match=r"copy\.so: .* operations from .*\.so"):
        Library(tmp_path / "copy.so")


def test_logits_and_towers_by_the_kernel(kernel: Library) -> None:
    model = small_model(tower_units=[5], embedding_dtype="bfloat16")
    ids = np.random.default_rng(0).integers(0, 11, (25, 5))
    expected = model(ids).numpy()
    model.native = stack.Stack(model, kernel)
    model.pieces = 3  # the kernel cuts a batch by itself
    np.testing.assert_allclose(model(ids), expected, rtol=0, atol=5e-6)
    with model.without_native():
        assert model.native is None
    assert isinstance(model.native, stack.Stack)


@pytest.mark.slow
def test_under_sanitizers(tmp_path: pathlib.Path) -> None:
    """No access beyond an array, nothing undefined, and equal bits on three threads."""
    try:
        compiler = library.compiler()
    except library.BuildError as error:
        pytest.skip(str(error))
    flags = ["-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-w"]
    made = []
    for name, flags_of_target in library.targets_of_this_machine().items():
        made.append(str(tmp_path / f"{name}.o"))
        source = str(ROOT / "native" / "target.cc")
        of_target = [*flags_of_target, f"-DTARGET={name}"]
        subprocess.run([compiler, *flags, *of_target, "-c", source, "-o", made[-1]], check=True)
    sources = [str(ROOT / "native" / "kernel.cc"), str(ROOT / "tests" / "native" / "sanitized.cc")]
    include = f"-I{ROOT / 'native'}"
    program = str(tmp_path / "sanitized")
    subprocess.run(
        [compiler, *flags, include, *sources, *made, "-pthread", "-o", program], check=True
    )
    ended = subprocess.run([program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith(" runs\n") and not ended.stdout.startswith("0 ")
