"""Rounds of vectors on a CPU, with batch norm and ReLU behind them."""
