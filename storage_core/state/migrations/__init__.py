"""Alembic's migrations, run by `State.migrate`.

A change of `tables` comes with a new module in ``versions`` that makes the same change; a test
compares what all of them make with the tables. There is no way back but a backup.
"""
