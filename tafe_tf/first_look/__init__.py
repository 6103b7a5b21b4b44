"""A first look at a data set before anything is trained: its columns, its funnel, its problems.

Nothing here imports TensorFlow, except to read TFRecord files.

    raw.py            the rows as the files have them, whatever their format
    dialect.py        how a CSV file is written
    values.py         a column's distinct values, and what they look like
    profile.py        what is said of a column: missing, distinct and unseen values, list lengths
    funnel.py         the labels: their rates, and whether later steps follow earlier ones
    leaks.py          fields that alone rank a label too well to be known in time
    doubles.py        rows and users that stand in two splits
    schema_errors.py  all errors of a schema file at once
    problems.py       all problems of files and schema at once
    look.py           the whole look
    tables.py         the look as tables for a terminal
    tfrecord_columns.py  the columns of a TFRecord file, which has no header
    start.py          the short look with which training starts
"""
