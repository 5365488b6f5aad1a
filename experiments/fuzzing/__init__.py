"""Whether whatever is read from outside is read as data: a fuzzer of the readers, and the page of what it found."""
