"""The model card: what a model is for, whom it has heard, its recipe's figures, and the commands that print them."""
