"""Exploratory data analysis: what a corpus holds, and what its features say before anything is trained."""
