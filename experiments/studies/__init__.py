"""Studies: arms, the lines of their results, and the pages made from them."""
