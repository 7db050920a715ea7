"""A running trace: what a function sees in place of arrays and numbers, and what it does to them as a graph."""
