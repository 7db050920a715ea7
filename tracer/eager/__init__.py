"""Define-by-run Variables: recorded lazily, run as compiled programs, differentiated through their history."""
