"""The HDF5 store between extraction and training: its layout, writer, reader and verifier."""

import os

# Read by HDF5 when it starts, and stronger than what a program asks for: no locks, which many
# shared file systems refuse, and no plug-ins, which are code that a file can ask for.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
