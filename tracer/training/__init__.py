"""The inside of a train step: what it traces and what it keeps."""
