"""TAFE between the embeddings and the heads as a compiled kernel for CPUs.

`tafe native` builds it from the C++ in `kernel/` and checks it against the layers that it stands
for. Without it, and wherever it does not apply, the layers themselves run.
"""
