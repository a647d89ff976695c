"""Builds generated C for other machines, and runs it there: a Cortex-M55 and a big-endian one, emulated by QEMU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from portable_c import WARNINGS

BOARD = Path(__file__).parent / "cortex_m55"
CORTEX = ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=soft", "-Os")
PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "s390x-linux-gnu-gcc": "gcc-s390x-linux-gnu libc6-dev-s390x-cross",
    "qemu-s390x": "qemu-user",
    "clang": "clang",
    "cppcheck": "cppcheck",
}


def tool(name: str) -> str:
    """Return the path of a program; skip where it is not installed."""
    found = shutil.which(name) or shutil.which(f"{name}-static")
    if found is None:
        pytest.skip(f"{name} is not on this machine (Debian: apt-get install {PACKAGES[name]})")
    return found


def ran(*words: str) -> str:
    """Return what a command prints, which must end well."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def own_sources(folder: Path, prefix: str) -> list[str]:
    """Return the C files of a network and of its test."""
    return [*map(str, sorted(folder.glob(f"{prefix}*.c"))), str(folder / "test" / "main.c")]


def run_on_cortex_m55(folder: Path, prefix: str) -> str:
    """Return what the network's own test prints on an emulated Cortex-M55."""
    gcc, emulator, binary = tool("arm-none-eabi-gcc"), tool("qemu-system-arm"), folder / "cortex.elf"
    weights = folder / f"{prefix}_weights.bin"
    files = [*own_sources(folder, prefix), str(BOARD / "startup.c")]
    defined = [f"-D{prefix.upper()}_TEST", f'-DWEIGHTS="{weights}"']
    linked = ["--specs=rdimon.specs", "-nostartfiles", "-T", str(BOARD / "linker.ld"), "-o", str(binary)]
    ran(gcc, *WARNINGS, *CORTEX, *defined, *files, *linked)
    return ran(emulator, "-M", "mps3-an547", "-display", "none", "-serial", "none", "-monitor", "none",
               "-semihosting-config", "enable=on,target=native", "-kernel", str(binary))  # fmt: skip


def run_big_endian(folder: Path, prefix: str) -> str:
    """Return what the network's own test prints on an emulated s390x, whose integers are big-endian."""
    gcc, emulator, binary = tool("s390x-linux-gnu-gcc"), tool("qemu-s390x"), folder / "big"
    words = [*WARNINGS, "-O1", "-static", f"-D{prefix.upper()}_TEST", *own_sources(folder, prefix), "-o", str(binary)]
    ran(gcc, *words)
    return ran(emulator, str(binary), str(folder / f"{prefix}_weights.bin"))


def cortex_bytes(folder: Path, prefix: str) -> int:
    """Return the bytes of code and constants of a network's own files, compiled for a Cortex-M55 with -Os."""
    gcc, size, total = tool("arm-none-eabi-gcc"), tool("arm-none-eabi-size"), 0
    for path in sorted(folder.glob(f"{prefix}*.c")):
        compiled = path.with_suffix(".o")
        ran(gcc, *CORTEX, "-c", str(path), "-o", str(compiled))
        for line in ran(size, "-A", str(compiled)).splitlines():
            name, _, rest = line.partition(" ")
            if name.startswith((".text", ".rodata", ".data")):
                total += int(rest.split()[0])
    return total
