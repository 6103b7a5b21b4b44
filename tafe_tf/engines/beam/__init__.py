"""Apache Beam (extra `[beam]`)."""
