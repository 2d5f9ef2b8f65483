"""The blocking face: a thin mirror of the coroutines in `storage_core.core`.

`storage_core.aio` is the other face, with the same names. Objects may be shared between
threads, except readers, writers and seekable files, which serve one thread at a time.
"""
