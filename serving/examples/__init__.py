"""The same request to a model in several languages."""
