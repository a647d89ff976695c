"""Generated C in QEMU: a Cortex-M55 and a big-endian target pass the vectors; its size on the first."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from c_networks import ONNX, TFLITE, onnx_program, tflite_program
from cross_c import cortex_bytes, run_big_endian, run_on_cortex_m55
from operators import SAMPLES, integer_case
from portable_c import small_program, subject, written

from slimai.codegen.generate import generate
from slimai.codegen.options import CodeOptions
from slimai.codegen.vectors import noise
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

KIB = 1024
ON_BOARD = ("kws_ref_model_int8", "resnet8_cifar10_int8")


def folder_of(program, folder, **options):
    """Write the C of a program with two vectors of noise."""
    written(folder, generate(program, TargetSection(), CodeOptions("net", **options), noise(program, 2)))
    return folder


def recurrent_program(op, dtype):
    rng = np.random.default_rng(zlib.crc32(f"{op} {dtype}".encode()))
    plan, _, _ = integer_case(op, SAMPLES[op][1], "xi_sym", dtype, rng)
    return compile_plan(plan, TargetSection(), arithmetic="xi_sym")


PROGRAMS = {
    "gemmlowp": small_program, "xi_sym": lambda: small_program(1, "xi_sym"),
    "lstm": lambda: recurrent_program("LSTM", "s8"), "gru": lambda: recurrent_program("GRU", "s16"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_cortex_m55_passes(tmp_path, name):
    assert "passed: 2 vectors" in run_on_cortex_m55(folder_of(PROGRAMS[name](), tmp_path), "net")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_big_endian_target_passes(tmp_path, name):
    assert "passed: 2 vectors" in run_big_endian(folder_of(PROGRAMS[name](), tmp_path), "net")


def test_each_target_reads_constants_from_a_file_of_its_byte_order(tmp_path):
    little = folder_of(small_program(), tmp_path / "little", weights="file")
    big = folder_of(small_program(), tmp_path / "big", weights="file", byte_order="big")
    assert "passed: 2 vectors" in run_on_cortex_m55(little, "net")
    assert "passed: 2 vectors" in run_big_endian(big, "net")


def test_a_changed_constant_fails_on_the_target(tmp_path):
    folder = folder_of(small_program(), tmp_path, weights="file", byte_order="big")
    constants = folder / "net_weights.bin"
    data = bytearray(constants.read_bytes())
    data[0] ^= 0x40  # a weight of the first layer
    constants.write_bytes(data)
    with pytest.raises(AssertionError, match=r"the first layer that differs is 0, Conv_0__0"):
        run_big_endian(folder, "net")


@pytest.mark.shared
@pytest.mark.parametrize("name", ON_BOARD)
def test_a_stored_network_on_a_cortex_m55(shared_data, tmp_path, name):
    assert "passed: 2 vectors" in run_on_cortex_m55(folder_of(tflite_program(shared_data, name), tmp_path), "net")


@pytest.mark.shared
def test_a_stored_network_on_a_big_endian_target(shared_data, tmp_path):
    program = tflite_program(shared_data, ON_BOARD[0])
    assert "passed: 2 vectors" in run_big_endian(folder_of(program, tmp_path), "net")


def sizes(program, folder):
    """Return (bytes of the tables in their smallest types, of code and constants on a Cortex-M55, of C text)."""
    item = subject(program, TargetSection(), folder, "net")
    tables = 0
    for values in item.network.constants.arrays.values():
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        bits = next(
            n for n in (8, 16, 32, 64) if (low >= 0 and high < 1 << n) or -(1 << (n - 1)) <= low <= high < 1 << (n - 1)
        )
        tables += values.size * bits // 8
    text = sum(path.stat().st_size for path in item.folder.glob("*.[ch]"))
    return tables, cortex_bytes(item.folder, "net"), text


def check_size(program, folder):
    tables, compiled, text = sizes(program, folder)
    assert compiled <= 1.05 * tables + 32 * KIB, (tables, compiled)
    assert text <= 5 * tables + 200_000, (tables, text)


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_size_is_that_of_its_tables(tmp_path, name):
    check_size(PROGRAMS[name](), tmp_path)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", TFLITE)
def test_the_size_of_a_stored_network(shared_data, tmp_path, name):
    check_size(tflite_program(shared_data, name), tmp_path)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 3, 4])
@pytest.mark.parametrize("name", ONNX)
def test_the_size_of_a_float_network(shared_data, tmp_path, name, level):
    program, _ = onnx_program(shared_data, name, level)
    if program.host_layers:
        pytest.skip(f"layers on the host: {', '.join(program.host_layers)}")
    check_size(program, tmp_path)
