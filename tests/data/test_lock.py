"""One writer at a time, shown with processes of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading

import pytest

from tafe_tf.data.lock import LockError, locked

HOLDS = """
import sys, time
from tafe_tf.data.lock import locked
with locked(sys.argv[1]):
    print("holds it", flush=True)
    time.sleep(60)
"""


def test_who_comes_second_is_told_who_holds_it(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "holds it\n"
        told = pytest.raises(LockError, match=rf"process {holder.pid} on .* do that\.$")
        with told, locked(tmp_path, "do that."):
            pass
        holder.kill()  # as kill -9 does: nothing is cleaned up
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_threads_one_is_inside(tmp_path: pathlib.Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            try:
                with locked(tmp_path):
                    inside.append(number)
                    most.append(len(inside))
                    inside.remove(number)
            except LockError:
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most and max(most) == 1
