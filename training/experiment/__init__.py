"""The paper's experiments: windows cut from filtered segments, 22 variants, nested folds by person, resumable runs."""
