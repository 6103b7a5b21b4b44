"""The job: configuration, the training loop, evaluation, and what a run leaves behind."""
