"""Who does a job's work: this process, or the workers of Apache Beam."""
