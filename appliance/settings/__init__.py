"""The configuration: an attrs tree, and its reading from file, environment and command line."""
