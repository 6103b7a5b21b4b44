"""Raw columns -> ids: vocabularies, and the one feature graph of training and serving."""
