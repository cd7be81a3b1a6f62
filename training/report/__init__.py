"""Reports of experiments: tables like the paper's tables 2 to 4, confusion matrices like its figures 3 to 5."""
