"""Getting a known data set: fetched, verified and unpacked."""
