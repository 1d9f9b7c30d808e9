"""The forms in which labelled pictures come, each with its reader; `known` has the list of them."""
