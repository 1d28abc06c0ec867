"""The board: entries that may be compared, ranked; in the terminal, as JSON, as a static site."""
