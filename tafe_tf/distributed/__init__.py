"""Several processes: their places in the job, and a whole job on one machine."""
