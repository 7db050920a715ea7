"""compile(check=True) and compile(audit=True)."""
