"""What other programs say of generated C: gcc and clang with every warning an error, sanitizers of clang, cppcheck."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from cross_c import own_sources, ran, tool
from operators import SAMPLES, integer_case
from portable_c import SANITIZED, WARNINGS, compiler, small_program, subject, written
from volume_cases import OPERATORS, volume_case

from slimai.codegen.generate import generate
from slimai.codegen.layers import WRITERS
from slimai.codegen.options import CodeOptions
from slimai.codegen.vectors import noise
from slimai.graph.ops import TRAITS
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

SETTINGS = (("xi_sym", "s8", "array"), ("gemmlowp", "u8", "file"), ("tflite_s64", "s16", "array"))
CPPCHECK = (
    "--enable=warning,style,performance,portability", "--inconclusive", "--std=c99", "--error-exitcode=1", "--quiet",
    "--suppress=unusedStructMember", "--template={file}:{line}: {id}: {message}",
)  # fmt: skip


@pytest.fixture(scope="module")
def every_operator(tmp_path_factory):
    """Return a folder for each operator, of its first sample, settings in turn."""
    folder = tmp_path_factory.mktemp("operators")
    return [*networks(folder, whole=False), *volumes(folder)]


def networks(folder, *, whole):
    """Write the C of operators; whole: every sample under every setting, else one of each."""
    found = []
    for place, op in enumerate(op for op in WRITERS if op in SAMPLES):
        able = [item for item in SETTINGS if ("dsp" if item[0] == "xi_sym" else "tflite") in TRAITS[op].recipes]
        for preset, dtype, weights in able if whole else able[place % len(able) :][:1]:
            for number, sample in enumerate(SAMPLES[op] if whole else SAMPLES[op][:1]):
                rng = np.random.default_rng(zlib.crc32(f"{op} {preset} {number}".encode()))
                plan, _, _ = integer_case(op, sample, preset, dtype, rng)
                program = compile_plan(plan, TargetSection(), arithmetic=preset)
                prefix = f"{op.lower()}{number}_{preset}"
                found.append(subject(program, TargetSection(), folder, prefix, weights=weights).folder)
    return found


def volumes(folder):
    """Write the C of windows over three axes, settings in turn."""
    found = []
    for place, op in enumerate(OPERATORS):
        preset, dtype, weights = SETTINGS[place % len(SETTINGS)]
        plan, _, _ = volume_case(op, np.random.default_rng(place), dtype, preset)
        program = compile_plan(plan, TargetSection(), arithmetic=preset)
        found.append(subject(program, TargetSection(), folder, f"volume{place}", weights=weights).folder)
    return found


def sources(folders):
    return [str(path) for folder in folders for path in sorted(folder.glob("*.c"))]


def for_cppcheck(files):
    """Return the files but those of constants: there is nothing but numbers in them, which take it minutes."""
    return [path for path in files if not path.endswith("_weights.c")]


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_no_compiler_warns(every_operator, name):
    found = compiler() if name == "gcc" else tool(name)
    assert ran(found, *WARNINGS, "-fsyntax-only", *sources(every_operator)) == ""


def test_cppcheck_finds_nothing(every_operator):
    assert ran(tool("cppcheck"), *CPPCHECK, *for_cppcheck(sources(every_operator))) == ""


@pytest.mark.slow
def test_nothing_is_found_in_any_form_of_an_operator(tmp_path):
    files = sources(networks(tmp_path, whole=True))
    for start in range(0, len(files), 100):
        ran(tool("cppcheck"), *CPPCHECK, *for_cppcheck(files[start : start + 100]))
        for found in (compiler(), tool("clang")):
            assert ran(found, *WARNINGS, "-fsyntax-only", *files[start : start + 100]) == ""


def test_cppcheck_finds_a_planted_mistake(tmp_path):
    (tmp_path / "wrong.c").write_text("int f(void) { int a[2] = {0, 0}; return a[2]; }\n")
    with pytest.raises(AssertionError, match="arrayIndexOutOfBounds"):
        ran(tool("cppcheck"), *CPPCHECK, str(tmp_path / "wrong.c"))


@pytest.mark.parametrize("flags", [SANITIZED, ("-O3",)])
def test_clang_builds_it_and_its_sanitizers_find_nothing(tmp_path, flags):
    clang, program = tool("clang"), small_program()
    written(tmp_path, generate(program, TargetSection(), CodeOptions("net"), noise(program, 2)))
    ran(clang, *WARNINGS, *flags, "-DNET_TEST", *own_sources(tmp_path, "net"), "-o", str(tmp_path / "run"))
    assert ran(str(tmp_path / "run")) == "passed: 2 vectors, 3 tensors each\n"
