"""Where batches come from: one reader a format, common checks, shuffled and resumable batches, synthetic funnels."""
