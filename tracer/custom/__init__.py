"""Functions recorded as one: a user's own with its gradient rule, and those made of several operations."""
