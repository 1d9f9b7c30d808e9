"""What is wrong with labelled pictures, before hours are spent on them."""
