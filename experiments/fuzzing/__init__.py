"""A fuzzer of everything that reads external input, and the report of its findings."""
