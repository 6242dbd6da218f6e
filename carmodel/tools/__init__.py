"""What the rest stands on: the process and its machine, files and their formats, compiled code."""
