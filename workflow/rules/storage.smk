# Where files lie: on disk, or in a storage such as a bucket (docs/cloud.md).
import os
from pathlib import Path

# Where a path lies once Snakemake has put a module's prefix before it.
relocated = workflow.modifier.path_modifier.replace_prefix
IN_MODULE = relocated("results") != "results"


def in_storage(path):
    """Whether a file that the user names lies elsewhere: a URL, or below the prefix of the default storage."""
    elsewhere = workflow.storage_settings.default_storage_provider is not None
    return "://" in path or (elsewhere and not Path(path).is_absolute())


def named(path):
    """A file that the user names, as rules take it. Absolute paths are files on disk, whatever the storage."""
    if "://" in path:
        return storage(path)
    if IN_MODULE and not in_storage(path):
        # Its prefix is for results: what people name stays where it is.
        path = os.path.abspath(path)
    return local(path) if Path(path).is_absolute() else path


def look_for_folders_again():
    """Have Snakemake see folders that a job made elsewhere.

    The plugin for S3 (0.3.6) looks for a folder once, before it is made, and then fails the finished job for it.
    """
    if workflow.storage_settings.default_storage_provider == "s3":
        from snakemake_storage_plugin_s3 import StorageObject

        StorageObject.is_dir = lambda self: any(self.get_subkeys())


look_for_folders_again()
