"""What a call of a compiled function goes through: its key, an entry of the cache, its inputs, its program, its results."""
