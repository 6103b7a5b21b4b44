"""What people look at to judge a model: slices, importance, drift, and pages that show them.

figures/  the paper's figures: selectors, embeddings, lift by day
report/   the report of runs
page/     a page: text, tables and charts -> one HTML file
slices/   metrics of the rows that share a value, and in which of them a model is worse
"""
