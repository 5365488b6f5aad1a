"""The laws of every function: assertions on an operation, which `test_laws.py` applies to all that is public."""
