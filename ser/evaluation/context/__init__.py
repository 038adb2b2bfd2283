"""What speaker context is worth: contexts drawn from the evaluated recordings, predictions in each, their scores."""
