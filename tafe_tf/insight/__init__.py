"""What people look at to judge a model: slices, importance, drift, and pages that show them.

slices/   metrics of the rows that share a value, and in which of them a model is worse
"""
