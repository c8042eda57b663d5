"""Kernels in Triton for a round on a GPU."""
