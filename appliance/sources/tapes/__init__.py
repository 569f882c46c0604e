"""Tapes: events recorded as lines of JSON in gzip members, and played again."""
