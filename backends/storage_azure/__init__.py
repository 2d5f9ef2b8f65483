"""The driver for Azure Blob Storage."""
