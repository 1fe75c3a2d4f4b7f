"""Splitting, training and evaluating classifiers; embeddings and explanations."""
