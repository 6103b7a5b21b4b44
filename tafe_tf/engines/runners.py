"""Which driver the flags `--runner`, `--beam_args` and `--dask_address` ask for."""

from __future__ import annotations

import shlex

from tafe_tf.engines.driver import Driver, EngineError

RUNNER_HELP = (
    "Who does the work: local, this process; dask, the workers of the scheduler at --dask_address; "
    "spark, the executors of the active or submitted Spark session; beam, the Apache Beam runner "
    "that --beam_args names. The name of a Beam runner, such as FlinkRunner, means beam too."
)
BEAM_ARGS_HELP = (
    "Options of Apache Beam in one quoted string, such as '--runner=FlinkRunner "
    "--flink_master=HOST:8081'."
)
DASK_ADDRESS_HELP = "The address of Dask's scheduler, such as tcp://HOST:8786, for --runner=dask."

_PACKAGES = {"apache_beam": "beam", "dask": "dask", "distributed": "dask", "pyspark": "spark"}


def driver_of(
    runner: str,
    beam_args: str = "",
    dask_address: str = "",
) -> Driver | None:
    """The driver that flags ask for; its engine's package is imported only here.

    Args:
        runner: "local", "dask", "spark", "beam", or the name of a Beam runner.
        beam_args: Options of Beam. Default: none.
        dask_address: The address of Dask's scheduler. Default: none.

    Returns:
        The driver, or None for this process.

    Raises:
        EngineError: If the flags do not fit together, or the engine's package is not installed.

    Example:
        >>> driver_of("local") is None
        True
        >>> driver_of("local", dask_address="tcp://10.0.0.1:8786")
        Traceback (most recent call last):
        tafe_tf.engines.driver.EngineError: --dask_address is for --runner=dask. Received: ...
    """
    runner = runner or "local"
    is_beam = runner not in ("local", "dask", "spark")
    if dask_address and runner != "dask":
        raise EngineError(f"--dask_address is for --runner=dask. Received: --runner={runner}")
    if beam_args and not is_beam:
        raise EngineError(f"--beam_args is for --runner=beam. Received: --runner={runner}")
    if runner == "local":
        return None
    try:
        return _driver(runner, beam_args, dask_address)
    except ModuleNotFoundError as error:
        extra = _PACKAGES.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        named = "Apache Beam" if extra == "beam" else extra.capitalize()
        raise EngineError(
            f"--runner={runner} needs {named}: pip install 'tafe_tf[{extra}]'"
        ) from None


def _driver(runner: str, beam_args: str, dask_address: str) -> Driver:
    if runner == "dask":
        if not dask_address:
            raise EngineError("--runner=dask needs --dask_address, such as tcp://HOST:8786")
        from tafe_tf.engines.dask import DaskDriver

        return DaskDriver(dask_address)
    if runner == "spark":
        from tafe_tf.engines.spark import SparkDriver

        return SparkDriver()
    from tafe_tf.engines.beam import BeamDriver

    named = [] if runner == "beam" else [f"--runner={runner}"]
    return BeamDriver([*named, *shlex.split(beam_args)])
