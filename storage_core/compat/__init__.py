"""Interfaces of other libraries on storage-core, for applications that were written for them."""
