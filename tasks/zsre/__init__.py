"""Zero-shot relation extraction (zsRE) data and prompts."""
