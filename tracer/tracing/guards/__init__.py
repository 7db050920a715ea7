"""What a trace rests on: guards, a file a kind, which a later call must pass before the trace is used again."""
