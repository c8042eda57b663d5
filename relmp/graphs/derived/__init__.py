"""Graphs made of graphs: null models and coarser ones."""
