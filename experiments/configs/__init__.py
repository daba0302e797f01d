"""One `get_config()` a file, named <system>_<corpus>."""
