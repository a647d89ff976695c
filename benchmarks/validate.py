"""How long `slimai validate +model=yolo` takes, against a minimal Hydra application measured beside it.

Processor time of whole processes, started in turn; the smallest and the median of each, and of the ratios of one turn.
Both find the bytecode of their modules, as after an installation.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

APP = """\
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    pass

main()
"""


def seconds(command: list[str], folder: Path) -> float:
    """Return the processor time of one process, in seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, capture_output=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 12) -> None:
    """Print the two times and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text("a: 1\n", encoding="utf-8")
        (folder / "app.py").write_text(APP, encoding="utf-8")
        plain = [sys.executable, "app.py", "hydra.run.dir=.", "hydra.output_subdir=null"]
        ours = [sys.executable, "-m", "slimai", "validate", "+model=yolo"]
        seconds(ours, folder)  # writes the bytecode
        times = [(seconds(plain, folder), seconds(ours, folder)) for _ in range(rounds)]
    for what, pick in (("smallest", min), ("median", statistics.median)):
        hydra, slimai = (pick(column) for column in zip(*times, strict=True))
        print(f"{what:9} hydra {hydra:.3f} s  validate {slimai:.3f} s  ratio {slimai / hydra:.2f}")
    print(f"ratios of a turn: median {statistics.median(slimai / hydra for hydra, slimai in times):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
