"""The stream appliance: one file that streams to thousands of clients."""

__version__ = "0.1.0"
