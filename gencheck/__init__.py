"""gencheck: how far may I trust this score, this data set, this checkpoint?"""

__version__ = "0.1.0"
