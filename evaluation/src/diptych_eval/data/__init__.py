"""Read labelled data sets of the formats that people have."""
