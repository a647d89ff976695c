"""The two float passes: calibration and reference."""
