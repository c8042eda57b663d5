"""Brains as relational graphs: the connectomes of bio2art, regions as neurons, null models."""
