"""What a study found: each record of the results file beside the function that makes it."""
