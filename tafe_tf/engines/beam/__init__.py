"""Jobs as Apache Beam pipelines (extra `[beam]`)."""
