"""Where a run lives: no network, no foreign folders, read-only installations, odd terminals, locales and names."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.interrupts import interrupts_taken

pytestmark = pytest.mark.slow
WORDS = (
    *("+model=mobilenet_digits", "dataset.validation_count=8", "dataset.calibration_count=8"),
    "quantization.range=99",
)
ROOT = Path(__file__).resolve().parents[2]
RESULTS = {"run.json", "BestProfile.txt", "mobilenet_digits_quant.onnx", "report.html"}
UNSET = ("SLIMAI_DEBUG", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "SLIMAI_CACHE", "XDG_CACHE_HOME", "SLIMAI_RUN_CACHE")


def start(*words, cwd, module=("-m", "slimai"), env=None, before=(), **more):
    environment = {**os.environ, "NO_COLOR": "1", **(env or {})}
    for name in UNSET:
        environment.pop(name, None)
    return subprocess.Popen([*before, sys.executable, *module, *words], cwd=cwd, env=environment, **more)


def finish(*words, cwd, **more):
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    process = start(*words, cwd=cwd, **more)
    told = [text.decode(errors="backslashreplace") for text in process.communicate(timeout=300) if text is not None]
    assert "Traceback" not in "".join(told)
    return process.returncode, "".join(told)


def whole(output: Path) -> bool:
    return {path.name for path in output.iterdir()} >= RESULTS


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_resolves_no_name_and_writes_nowhere_else(tmp_path, workers):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log, home, output = tmp_path / "trace", tmp_path / "home", tmp_path / "out"
    home.mkdir()
    calls = "trace=connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
    command = [strace, "-f", "-qq", "-o", str(log), "-e", calls, sys.executable, "-m", "slimai", *WORDS]
    command += [f"path.output_dir={output}", f"smart_search.workers={workers}", "quantization.accuracy_level=[1,3]"]
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("XDG_CACHE_HOME", "SLIMAI_CACHE", "MPLCONFIGDIR"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr and not output.exists():
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert whole(output)
    trace = log.read_text(errors="replace")
    assert not re.findall(r".*(?:AF_INET|AF_INET6|/etc/resolv\.conf|/etc/hosts|nscd).*", trace)
    foreign = {name for line in trace.splitlines() for name in _written(line) if not _allowed(name, output, home)}
    assert not foreign
    assert sorted(path.name for path in home.iterdir()) == [".cache"]
    assert [path.name for path in (home / ".cache").iterdir()] == ["slimai"]


def _written(line: str) -> list[str]:
    """Return the names that a traced call has made or may write to."""
    call, names = re.sub(r"^\d+ +", "", line), re.findall(r'"([^"]*)"', line)
    if " = -1 " in line or not call.startswith(("open", "creat", "mkdir", "rename")):
        return []
    if call.startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE", line):
        return []
    return names


def _allowed(name: str, output: Path, home: Path) -> bool:
    """Whether SPEC 25 lets a run write there: its folder, the documented caches, temporary files, devices."""
    places = (str(output), str(home / ".cache" / "slimai"), "/dev/", "/proc/self/", "/memfd:")
    if name == str(home / ".cache"):  # the folder of the documented one
        return True
    temporary = re.match(r"/(tmp|dev/shm|var/tmp)/(?!pytest)", name) is not None
    compiled = re.search(r"slimai/.*/?__pycache__(/.*\.(nbi|nbc|tmp)[^/]*)?|__pycache__/tmp\w+$", name) is not None
    relative = not name.startswith("/") and not name.startswith("..")  # beside a folder that is open, or the list's own
    return name.startswith(places) or temporary or compiled or (relative and "/" not in name)


def test_no_telemetry_file_is_left_in_the_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    model = ROOT / "examples" / "data" / "models" / "mobilenet_digits.onnx"
    code, told = finish("inspect", str(model), cwd=tmp_path, env={"HOME": str(home)})
    assert code == 0, told
    time.sleep(1)
    assert list(home.iterdir()) == []


@pytest.fixture
def read_only(tmp_path):
    """Return a folder to work in, and how to start a process of a read-only installation that can write there alone."""
    rootless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if rootless and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not installed")
    place, home, work = tmp_path / "installed", tmp_path / "home", tmp_path / "work"
    for name in ("slimai", "conf", "schemas", "examples/data"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    work.mkdir()
    for path in [home, place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield work, {"cwd": work, "env": {"HOME": str(home), "PYTHONPATH": str(place)}, "before": rootless}
    for path in [home, place, *place.rglob("*")]:
        path.chmod(0o755)


def test_a_read_only_installation_and_home(read_only):
    work, how = read_only
    code, told = finish(*WORDS, f"path.output_dir={work / 'out'}", **how)
    assert code == 0, told
    assert whole(work / "out")
    assert list((work / "out" / ".cache" / "numba").iterdir())


def test_kernels_where_nothing_can_be_kept(read_only):
    _, how = read_only
    source = "from slimai.blobs import _kernels; from slimai.compiling import _kept; print(_kept.cache_info().misses)"
    code, told = finish("-c", source, module=(), **how)
    assert (code, told.strip()) == (0, "1"), told


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_standard_streams(tmp_path, closed):
    def close():
        for handle in closed:
            os.close(handle)

    code, told = finish(*WORDS, f"path.output_dir={tmp_path / 'out'}", cwd=tmp_path, preexec_fn=close)
    assert (code, whole(tmp_path / "out")) == (0, True), told


def test_a_full_output_is_one_message_after_the_results(tmp_path):
    with Path("/dev/full").open("wb") as full:
        code, told = finish(*WORDS, f"path.output_dir={tmp_path / 'out'}", cwd=tmp_path, stdout=full)
    assert (code, whole(tmp_path / "out")) == (1, True)
    assert told.splitlines()[-1] == (
        "slimai: standard output: No space left on device; not all that was to be shown is there"
    )
    with Path("/dev/full").open("wb") as full:
        code, told = finish(*WORDS, f"path.output_dir={tmp_path / 'other'}", cwd=tmp_path, stderr=full)
    assert (code, whole(tmp_path / "other")) == (0, True)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone(tmp_path, stream):
    reader, writer = os.pipe()
    os.close(reader)
    code, told = finish(*WORDS, f"path.output_dir={tmp_path / 'out'}", cwd=tmp_path, **{stream: writer})
    os.close(writer)
    assert (code, whole(tmp_path / "out")) == (0, True), told


LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "C by itself": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
def test_chinese_paths_without_a_locale(tmp_path, locale):
    folder = tmp_path / "数据"
    folder.mkdir()
    shutil.copytree(ROOT / "examples" / "data" / "digits_cls", folder / "图片")
    words = (f"path.image_dir={folder / '图片'}", f"path.output_dir={folder / '结果'}", "smart_search.workers=2")
    code, told = finish(*WORDS, *words, cwd=folder, env=locale)
    assert (code, whole(folder / "结果")) == (0, True), told


def test_a_working_folder_whose_name_is_no_utf_8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)  # noqa: PTH102 - bytes
    except OSError as error:
        pytest.skip(f"this file system takes UTF-8 names only: {error}")
    code, told = finish(*WORDS, "path.output_dir=out", cwd=folder)
    assert (code, whole(Path(os.fsdecode(folder)) / "out")) == (0, True), told
    assert "Logging error" not in told


def test_an_interruption_at_any_moment_ends_in_one_message(tmp_path):
    points = int(os.environ.get("SLIMAI_INTERRUPT_POINTS", "12"))
    started = time.monotonic()
    assert finish(*WORDS, f"path.output_dir={tmp_path / 'out'}", cwd=tmp_path)[0] == 0
    seconds = time.monotonic() - started
    for point in range(points):
        output = tmp_path / f"out{point}"
        with interrupts_taken():
            process = start(
                *WORDS, f"path.output_dir={output}", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        time.sleep(0.1 + seconds * point / points)
        sent = process.poll() is None
        process.send_signal(signal.SIGINT)
        told = "".join(text.decode() for text in process.communicate(timeout=120))
        if process.returncode == -signal.SIGINT:
            assert point < 2, told  # before Python runs anything of slimai
        elif process.returncode:
            assert (process.returncode, sent) == (130, True), told
            assert "interrupted" in told
        assert "Traceback" not in told or process.returncode == -signal.SIGINT
        assert "internal error" not in told
