"""Labelled pictures of other tools, taken over as a folder of our own layout."""
