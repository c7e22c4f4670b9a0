"""Many pictures, of a folder or a bucket, asked one by one; what is found is kept as Parquet."""
