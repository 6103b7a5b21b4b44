"""Values as they go over the network: tensors and errors."""
