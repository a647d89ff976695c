"""A longer prefix of the stages writes no fewer files than a shorter one."""

from __future__ import annotations

from slimai import load_config, run

STAGES = ["gen_quant_profile", "flt_inference", "use_quant_profile", "gen_code"]


def test_files_only_grow(tmp_path, cache_dir):
    seen: set[str] = set()
    for count in (1, 2, 4):
        out = tmp_path / f"out{count}"
        run(
            load_config(
                "+model=mobilenet_digits", f"path.output_dir={out}", f"path.tmp_dir={cache_dir}",
                "dataset.calibration_count=4", "dataset.validation_count=4", "quantization.range='98:100:2'",
                "metric.output_debug=2", f"stages=[{','.join(STAGES[:count])}]",
            )
        )  # fmt: skip
        files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        files = {name for name in files if not name.startswith((".slimai", "timings"))}
        assert seen <= files, seen - files
        assert {"mobilenet_digits_98.yaml", "mobilenet_digits_100.yaml"} <= files
        blobs = {name for name in files if name.startswith("mobilenet_digits_ref/")}
        assert len(blobs) == (0 if count == 1 else 4)
        seen = files
