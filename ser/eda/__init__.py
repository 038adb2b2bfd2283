"""Exploratory data analysis of a corpus and its features."""
