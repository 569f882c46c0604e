"""The simulated market: one tape of prices, predictions, signals, trades and a portfolio from a seed.

All modules but `source` are pure: no clock, no tasks, and randomness only from the seed.
"""
