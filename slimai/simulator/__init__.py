"""The integer target: arithmetic, kernels, programs, cycles."""
