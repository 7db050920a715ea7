"""A run of a function on arrays that record: what comes in from outside, what goes out, and what the trace then rests on."""
