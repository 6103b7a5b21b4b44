"""NumPy twins of the models, the losses and the optimizer: the equations, literally."""
