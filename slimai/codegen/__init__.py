"""Portable C of an integer network: plans memory, writes tables and calls; the kernels are C (`c/`)."""
