"""File import: registered files, jobs that import them, and the importers of file types.

    file = register(state, bucket, credential_id, Registration(name="people.cc5txt"), 900)
    ...                                     # it is uploaded
    job, _ = submit(state, file, file_type="cc5", …)
    announce(state, job.id)
    workers = start_workers(state, settings, storage_of_profile)

The rows of a file get into the sink's tables all together or not at all, and once, whatever
becomes of the workers. It needs the extra ``gateway`` (``pip install 'storage-core[gateway]'``);
writing an importer needs nothing but `FileInfo`, `Row`, `ImportFileError` and `lines`.
"""

from storage_core.errors import ConfigError
from storage_core.imports.importers import GROUP, importer_names, load_importer
from storage_core.imports.lines import lines
from storage_core.imports.model import FileInfo, Importer, ImportFileError, Row

try:
    from storage_core.imports.jobs import (
        ImportFile,
        ImportJob,
        Registration,
        Stage,
        active_job,
        find_file,
        find_path,
        get_job,
        latest_job,
        list_jobs,
        register,
        stage,
        submit,
    )
    from storage_core.imports.queue import announce
    from storage_core.imports.rows import imported_jobs, imported_rows
    from storage_core.imports.sink import Sink, open_sink
    from storage_core.imports.workers import Workers, start_workers
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] not in ("alembic", "huey", "sqlalchemy"):
        raise
    raise ConfigError(
        f"the import of files needs {error.name}; run: pip install 'storage-core[gateway]'"
    ) from error

__all__ = [
    "GROUP",
    "FileInfo",
    "ImportFile",
    "ImportFileError",
    "ImportJob",
    "Importer",
    "Registration",
    "Row",
    "Sink",
    "Stage",
    "Workers",
    "active_job",
    "announce",
    "find_file",
    "find_path",
    "get_job",
    "imported_jobs",
    "imported_rows",
    "importer_names",
    "latest_job",
    "lines",
    "list_jobs",
    "load_importer",
    "open_sink",
    "register",
    "stage",
    "start_workers",
    "submit",
]
