"""A graph for every layer: which layer has which, and how dense each is."""
