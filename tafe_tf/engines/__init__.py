"""Who does a job's work: this process, or the workers of Dask, Spark or Apache Beam.

A job is cut into parts, and one function does a part. A driver deals the parts out and says how
many rows are done; it knows nothing of what the function does.
"""
