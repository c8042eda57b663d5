"""A graph of its own for every layer of a model."""
