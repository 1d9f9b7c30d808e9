"""Models that are passed on: pulled from a model hub and pushed to it."""
