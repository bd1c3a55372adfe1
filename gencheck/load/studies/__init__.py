"""Studies of many trials, from the stores that experiment trackers write: read as files, never run."""
