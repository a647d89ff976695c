"""The size of a register tile, which packed weights and kernels agree on."""

BLOCK = 16  # columns
