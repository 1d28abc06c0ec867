"""One or several runs as a page to look at, in a single file, and as figures for a paper."""
