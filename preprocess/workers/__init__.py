"""Where Dask's workers come from: this machine, batch jobs, a cluster."""
