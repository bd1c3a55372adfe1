"""The audit of a data set under a model: one question, one room."""
