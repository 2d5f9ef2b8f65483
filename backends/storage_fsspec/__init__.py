"""The driver for any fsspec filesystem."""
