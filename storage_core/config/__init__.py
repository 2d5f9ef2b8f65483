"""Configuration: where it is found, what it says, and what is wrong with it.

config = load_config()                       # the first place that has one
profile = config.profile("archive")          # resolved and checked
settings = driver_settings(profile, load_class(profile))
"""

from storage_core.config.load import Config, load_config
from storage_core.config.profile import ProfileConfig, ProfileOptions, Source
from storage_core.config.validate import driver_settings, load_class

__all__ = [
    "Config",
    "ProfileConfig",
    "ProfileOptions",
    "Source",
    "driver_settings",
    "load_class",
    "load_config",
]
