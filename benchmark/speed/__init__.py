"""`make bench`: how fast the engine is, against the plain way in the same run."""
