"""The HDF5 store between extraction and training: its layout, writer, reader and verifier."""
