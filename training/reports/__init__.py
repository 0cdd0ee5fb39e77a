"""What a checkpoint can do: held-out objects, scores, comparisons and the reports made of them."""
