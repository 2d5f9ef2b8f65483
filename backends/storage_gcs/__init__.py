"""The driver for Google Cloud Storage."""
