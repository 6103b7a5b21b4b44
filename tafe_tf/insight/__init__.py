"""What people look at to judge a model: slices, importance, drift, and pages that show them.

drift/       the rows of today beside those of training
figures/     the paper's figures: selectors, embeddings, lift by day
importance/  what a model makes of each field, over many rows and in one
page/        a page: text, tables and charts -> one HTML file
report/      the report of runs
slices/      metrics of the rows that share a value, and in which of them a model is worse
tracking/    what MLflow is told of a training
served.py    a version of an export, which can stand in a model's place
"""
