"""Results in the shapes of others: lm-evaluation-harness, Hugging Face datasets, BibTeX."""
