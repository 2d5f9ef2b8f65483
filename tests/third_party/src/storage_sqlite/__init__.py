"""Buckets and objects in one SQLite file."""
