"""Workers of a Dask cluster. Nothing of Dask is imported before an engine is made."""
