"""What `countersign demo` runs."""
