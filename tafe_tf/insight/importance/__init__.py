"""What a model makes of each field: over many rows by permuting it, in one row by gradients.

fields.py     the fields of a model, and which columns of its inputs are theirs
held_rows.py  test rows as the model's inputs, held in memory
effects.py    the AUC and the log loss of each output, and what is lost of them
measure.py    permutation importance of fields
job.py        that of a run, as a function
gradients.py  integrated gradients from a baseline to a row
explain.py    those of a run's rows, as a function
"""
