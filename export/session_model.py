"""A SavedModel in a TensorFlow 1 session: the path that TensorFlow Serving takes, without Keras."""

from __future__ import annotations

import functools
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from tafe_tf import machine
from tafe_tf.export import kernel_graph
from tafe_tf.export.log_records import only_records
from tafe_tf.native import library
from tafe_tf.native.library import Mode
from tafe_tf.storage.staging import stage

DEFAULT_SIGNATURE = "serving_default"
_STOCK = "stock operations"  # what computes without the kernel


class SessionModel:
    """Loads a SavedModel and answers its signatures. Many threads may call it at once.

    Args:
        path: The SavedModel's directory.
        intra_op_parallelism: Threads of one operation; 0 for all cores. With 1, the default, a
            request of one row takes half the time, and the halves into which an export cuts large
            requests use the cores. The first session of a process decides for all, or what
            TensorFlow did in the process before it.
        inter_op_parallelism: Operations that run at a time; 0, the default, for all cores.
        native: Whether the native kernel, which `tafe native` builds, computes in place of the
            layers: "auto" where it was built and the export has marks for it, "on" with an error
            where it cannot, "off" never. The default is "off". The SavedModel's own operations can
            be asked all the same.
        native_threads: Threads that the kernel shares the rows of a call among; the default, 0, for
            all cores.

    Attributes:
        path: The SavedModel's directory.
        way: A line that says whether the kernel computes, or why it does not.
        graph: The loaded `tf.Graph`.
        signature_defs: All signature definitions of the SavedModel by name, its initializer's
            included.
        signatures: Those that can be asked.
        arguments: The inputs of those signatures, with their types, in the order in which a
            session numbers its arguments: by the names of their tensors.

    Raises:
        OSError: If there is no SavedModel.
        StoreError: If `path` is a URI and its folder cannot be brought here.
        tf.errors.OpError: if it cannot be loaded.
        ValueError: If `native` is "on" and the kernel cannot be used.

    Example:

    >>> import tempfile
    >>> class Half(tf.Module):
    ...     @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    ...     def serve(self, x):
    ...         return {"half": x / 2}
    >>> module, path = Half(), tempfile.mkdtemp()
    >>> tf.saved_model.save(module, path, signatures={"serving_default": module.serve})
    >>> model = SessionModel(path)
    >>> model({"x": [1.0, 4.0]})["half"].tolist()
    [0.5, 2.0]
    >>> model.close()
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        *,
        intra_op_parallelism: int = 1,
        inter_op_parallelism: int = 0,
        native: Mode = "off",
        native_threads: int = 0,
    ) -> None:
        self.path = stage(path)
        self.graph = tf.Graph()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_parallelism,
            inter_op_parallelism_threads=inter_op_parallelism,
        )
        self._session = tf.compat.v1.Session(graph=self.graph, config=config)
        self._by_kernel: kernel_graph.Signatures = {}
        try:
            meta_graph = _load(self._session, self.path)
            self.way = self._use_kernel(meta_graph, native, native_threads or machine.threads())
        except Exception:
            self._session.close()
            raise
        self.signature_defs = dict(meta_graph.signature_def)
        self.signatures = {}
        for name, signature in self.signature_defs.items():
            if signature.inputs:
                self.signatures[name] = signature
        self.arguments = {name: _arguments(it) for name, it in self.signatures.items()}
        self._callable = functools.lru_cache(maxsize=256)(self._make_callable)

    def _use_kernel(self, meta_graph: Any, mode: Mode, threads: int) -> str:
        """Adds the kernel's signatures to the graph if that is asked for and possible."""
        if mode == "off":
            return f"{_STOCK} (--native=off)"
        reason = library.reason_against_machine()
        if not reason:
            self._by_kernel = kernel_graph.add_kernel(self.graph, meta_graph, threads)
        if not reason and not self._by_kernel:
            reason = "the export has no marks for it: it is another model than TAFE, or older"
        kernel = None if reason else library.load()
        if kernel is None:
            return library.way_without(mode, reason, _STOCK, where=f"{self.path}: ")
        return f"native kernel for {kernel.target}; threads a call: {threads}"

    @property
    def native_signatures(self) -> set[str]:
        """The names of the signatures that the kernel computes."""
        return set(self._by_kernel)

    def leave_kernel(self, reason: str) -> None:
        """Answers by the SavedModel's own operations alone from now on.

        Args:
            reason: Why, for `way`.
        """
        self._by_kernel = {}
        self.way = library.way_without("auto", reason, _STOCK)

    def __call__(
        self,
        columns: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        *,
        stock: bool = False,
    ) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
            columns: A value for every input of the signature, [B] or [B, length]. Further ones are
                ignored.
            signature: The signature's name; "serving_default" by default.
            stock: Whether the SavedModel's own operations compute even where the kernel could; not
                by default.

        Returns:
            All outputs by name, [B] each.

        Raises:
            KeyError: If there is no such signature, or an input of it is missing.
            tf.errors.OpError: what the runtime finds wrong with the values.
        """
        definition = self.signatures[signature]
        feeds = {}
        for name, info in definition.inputs.items():
            dtype = tf.dtypes.as_dtype(info.dtype).as_numpy_dtype
            feeds[name] = np.asarray(columns[name], dtype)
        names = sorted(definition.outputs)  # as warm-up asks: a call is prepared for an order
        values = self.run(signature, feeds, names, stock=stock)
        return dict(zip(names, values, strict=True))

    def run(
        self,
        signature: str,
        feeds: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        *,
        stock: bool = False,
    ) -> list[np.ndarray]:
        """Runs one signature on arrays as they are: the runtime judges their types and shapes.

        Args:
            signature: The signature's name.
            feeds: An array for every input of the signature.
            outputs: Names of the outputs wanted.
            stock: See `__call__`.

        Returns:
            The outputs, in the order of their names.

        Raises:
            KeyError: If there is no such signature or output, or an input is missing.
            tf.errors.OpError: what the runtime finds wrong with the arrays.
        """
        values = [feeds[name] for name in self.signatures[signature].inputs]
        is_one_row = all(value.shape[:1] == (1,) for value in values)
        by_kernel = signature in self._by_kernel and not stock
        call = self._callable(signature, tuple(outputs), is_one_row, by_kernel)
        return list(call(*values))

    def _make_callable(
        self,
        signature: str,
        outputs: tuple[str, ...],
        is_one_row: bool,
        by_kernel: bool,
    ) -> Any:
        """Prepares a call, which at one row takes 0.5 ms less than `Session.run` with its casts.

        One row has nothing to share: it is computed by the thread that asks, which saves waking
        another.
        """
        results = (self._by_kernel if by_kernel else self.signatures)[signature].outputs
        options = config_pb2.CallableOptions(
            feed=[info.name for info in self.signatures[signature].inputs.values()],
            fetch=[results[name].name for name in outputs],
        )
        if is_one_row:
            options.run_options.inter_op_thread_pool = -1
        return self._session._make_callable_from_options(options)

    def close(self) -> None:
        """Frees the session."""
        self._callable.cache_clear()  # each call holds a handle of the session
        self._session.close()


def _arguments(signature: meta_graph_pb2.SignatureDef) -> list[tuple[str, np.dtype]]:
    in_order = sorted(signature.inputs.items(), key=lambda item: item[1].name)
    found = []
    for name, info in in_order:
        dtype = np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype)
        found.append((name, dtype))
    return found


def _load(session: tf.compat.v1.Session, path: pathlib.Path) -> Any:
    """Loads a SavedModel into a session and returns its MetaGraphDef."""
    with session.graph.as_default(), only_records(tf.get_logger(), _is_error):
        return tf.compat.v1.saved_model.load(
            session,
            [tf.saved_model.SERVING],
            str(path),
        )


def _is_error(record: logging.LogRecord) -> bool:
    """Whether a record is no mere note, such as that the loader is deprecated."""
    return record.levelno >= logging.ERROR
