"""What a call of a compiled function goes through: an entry of the cache, its inputs, its program, its results."""
