"""One reader for each format of labelled data sets, and how formats are told apart."""
