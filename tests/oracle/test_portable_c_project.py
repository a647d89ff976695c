"""The folder as its user gets it: it builds, passes its own test, tells a wrong integer, links beside another."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from plans import Op, build_plan, params
from portable_c import SANITIZED, WARNINGS, build, compiler, extremes, small_program, subject, written

from slimai.codegen.constants import Constants
from slimai.codegen.generate import generate
from slimai.codegen.options import CodeOptions
from slimai.codegen.vectors import checksum, noise
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def own_test(folder, prefix, *words):
    sources = [str(path) for path in sorted(folder.glob(f"{prefix}*.c"))]
    command = [compiler(), *WARNINGS, *SANITIZED, f"-D{prefix.upper()}_TEST", *sources, str(folder / "test" / "main.c")]
    done = subprocess.run([*command, "-o", str(folder / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return subprocess.run([str(folder / "run"), *words], capture_output=True, text=True, check=False)


def test_its_own_test_passes_and_names_the_layer_of_one_changed_multiplier(tmp_path):
    program = small_program()
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net"), noise(program, 2)))
    done = own_test(tmp_path, "net")
    assert (done.returncode, done.stdout) == (0, "passed: 2 vectors, 3 tensors each\n")
    weights = tmp_path / "net_weights.c"
    text = weights.read_text()
    found = re.search(r"net_multiplier_0\[6\] = \{\n(\d+),", text[text.index("#endif") :])
    weights.write_text(text.replace(f"{found[1]},", f"{int(found[1]) // 2},", 1))
    done = own_test(tmp_path, "net")
    assert done.returncode == 1
    assert "the first layer that differs is 0, Conv_0__0" in done.stdout


def test_a_file_of_constants_is_read_and_its_pointer_checked(tmp_path):
    program = small_program()
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net", "file"), noise(program, 1)))
    assert own_test(tmp_path, "net", str(tmp_path / "net_weights.bin")).stdout.startswith("passed")
    assert own_test(tmp_path, "net").returncode == 2


@pytest.mark.parametrize("weights", ["array", "file"])
@pytest.mark.parametrize("op", ["MaxPool", "Reshape"])
def test_a_network_without_constants_passes_its_own_test(op, weights, tmp_path):
    pool = {"kernel_shape": (2, 2), "strides": (2, 2), "pads": (0,) * 4, "dilations": (1, 1), "ceil_mode": 0}
    item, out = (Op(op, ("x",), "y", pool), (1, 2, 2, 2)) if op == "MaxPool" else (Op(op, ("x",), "y"), (1, 32))
    item.attrs = item.attrs or {"shape": out}
    grids = dict.fromkeys("xy", params("s8", 0.1))
    plan = build_plan([item], {"x": (1, 2, 4, 4), "y": out}, grids, ("x",), ("y",))
    program = compile_plan(plan, TargetSection(), arithmetic="single")
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net", weights), noise(program, 2)))
    words = [str(tmp_path / "net_weights.bin")] if weights == "file" else []
    assert own_test(tmp_path, "net", *words).stdout == "passed: 2 vectors, 1 tensors each\n"


def test_the_file_of_constants_has_the_byte_order_that_is_asked_for():
    constants = Constants("net", as_file=True)
    constants.add("a", np.array([1, -2, 3], np.int8))
    constants.add("b", np.array([0x12345678], np.int32))
    assert constants.file("little").hex() == "01fe030000000000" + "7856341200000000"
    assert constants.file("big").hex() == "01fe030000000000" + "1234567800000000"
    assert constants.add("c", np.array([0x12345678], np.int32)) == constants.add("b", np.array([0x12345678], np.int32))


def test_two_networks_link_into_one_program_and_only_prefixed_symbols_leave_them(tmp_path):
    subjects = [subject(small_program(n), TargetSection(), tmp_path, f"net{n}") for n in (0, 1)]
    build(subjects, tmp_path)
    for item in subjects:
        assert item.differences(extremes(item.program)) == {}
        for file in item.folder.glob("net*.c"):
            subprocess.run([compiler(), "-c", str(file), "-o", str(tmp_path / "one.o")], check=True)
            words = ["nm", "-g", "--defined-only", str(tmp_path / "one.o")]
            names = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
            assert all(line.split()[-1].startswith(f"{item.network.prefix}_") for line in names if line)


def test_moves_that_no_loops_walk_are_copied_by_lists(tmp_path):
    shape = (1, *(2,) * 8)
    perm = (0, 5, 2, 8, 3, 7, 1, 6, 4)
    grids = dict.fromkeys("xy", params("s8", 0.1))
    plan = build_plan([Op("Transpose", ("x",), "y", {"perm": perm})], {"x": shape, "y": shape}, grids, ("x",), ("y",))
    item = subject(compile_plan(plan, TargetSection(), arithmetic="xi_sym"), TargetSection(), tmp_path, "net")
    assert "net_copy_listed_s8(" in (item.folder / "net.c").read_text()
    build([item], tmp_path)
    assert item.differences(extremes(item.program)) == {}


def test_pointers_that_are_null_are_refused(tmp_path):
    program = small_program()
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net"), []))
    (tmp_path / "null.c").write_text(
        '#include "net.h"\nint main(void) {\nstatic uint8_t in[NET_IN0_COUNT], out[NET_OUT0_COUNT], '
        "arena[NET_ARENA_BYTES];\n"
        "return !(net_run(in, out, arena) == 0 && net_run(0, out, arena) == 1 && net_run(in, 0, arena) == 1 &&\n"
        "net_run(in, out, 0) == 1); }\n"
    )
    files = [str(path) for path in sorted(tmp_path.glob("*.c"))]
    subprocess.run([compiler(), *WARNINGS, *SANITIZED, *files, "-o", str(tmp_path / "run")], check=True)
    assert subprocess.run([str(tmp_path / "run")], check=False).returncode == 0


def test_the_float_helpers_quantize_as_the_simulator(tmp_path):
    program = small_program()
    grid = program.plan.tensors["x"]
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net"), []))
    rng = np.random.default_rng(1)
    # multiples of half a step are the ties; doubles, so that both sides divide the same numbers
    reals = np.concatenate([rng.normal(0, 3, 300), np.arange(-260, 300) * grid.scale / 2])
    (tmp_path / "float.c").write_text(
        '#define NET_FLOAT_HELPERS\n#include <stdio.h>\n#include "net.h"\nint main(void) { double v;\n'
        'while (scanf("%lf", &v) == 1) { printf("%d\\n", net_quantize_in0(v)); }\n'
        "return net_dequantize_out0(128) != 0.0; }\n"
    )
    subprocess.run(
        [compiler(), *WARNINGS, *SANITIZED, str(tmp_path / "float.c"), "-o", str(tmp_path / "run")], check=True
    )
    text = "\n".join(repr(float(value)) for value in reals)
    done = subprocess.run([str(tmp_path / "run")], input=text, capture_output=True, text=True, check=True)
    assert list(map(int, done.stdout.split())) == grid.quantize(reals).tolist()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int64"])
def test_the_checksum_is_the_runner_s(kind):
    info = np.iinfo(kind)
    values = np.random.default_rng(0).integers(info.min, info.max, 200, dtype=kind, endpoint=True)
    total = 0xCBF29CE484222325
    for value in values.tolist():
        total = (total * 0x100000001B3 + value) % (1 << 64)
    assert checksum(values) == total


def test_arrays_of_one_name_stay_apart():
    constants = Constants("net", as_file=False)
    names = [constants.add("a", np.array([value])) for value in (1, 2, 3)]
    assert names == ["net_a", "net_a_2", "net_a_3"]
    assert constants.add("b", np.array([2])) == "net_a_2"
    assert [int(constants.arrays[name][0]) for name in names] == [1, 2, 3]
