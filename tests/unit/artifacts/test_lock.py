"""The lock of a folder: refused with the holder's name, freed by a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from slimai.artifacts.lock import MULTIRUN, RUN, run_lock
from slimai.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from slimai.artifacts.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_with_the_pid_and_host_of_the_first(tmp_path, holder):
    with pytest.raises(InputError) as error, run_lock(tmp_path):
        pass
    assert str(error.value) == (
        f"{tmp_path}: path.output_dir: another run works in this folder (pid {holder.pid} on host "
        f"{socket.gethostname()}); wait for it, or give another path.output_dir"
    )


def test_a_killed_run_leaves_no_lock(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / RUN).read_text()
    assert (tmp_path / RUN).read_text() == ""


def test_the_two_kinds_of_lock_do_not_exclude_each_other(tmp_path):
    with run_lock(tmp_path, MULTIRUN), run_lock(tmp_path, RUN):
        assert (tmp_path / MULTIRUN).exists()


def test_an_error_inside_frees_the_lock(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path):
        raise KeyError
    with run_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"path\.output_dir: cannot be written: (Not a directory|File exists)"
    with pytest.raises(InputError, match=message), run_lock(tmp_path / "file" / "out"):
        pass
