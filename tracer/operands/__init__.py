"""What is below all stand-ins: what an operand is, the running traces, the dispatcher, keys of `x[key]`, and how a refusal is said."""
