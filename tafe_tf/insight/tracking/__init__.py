"""What trackers are told of a training: settings, curves, metrics and files.

mlflow_run.py   one run of MLflow, which no failure of the server's keeps from training
watching.py     the Keras callback that tells of steps and validations
settings.py     a run's settings as parameters
job.py          what a tracker is told of a training
together.py     the run of which those of a comparison or a search are parts
"""
