"""The rules of `simplify`, a file a family: each gives RULES, in the order in which they are tried."""
