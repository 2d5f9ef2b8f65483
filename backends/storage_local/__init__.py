"""The local object store: buckets and objects kept on a local file system.

The layout on disk and the reasoning behind it are in ``docs/local-layout.md``.
"""

__version__ = "0.1.0"
