"""A labelled corpus of sensitive values and near misses, and how well detectors tell them apart."""
