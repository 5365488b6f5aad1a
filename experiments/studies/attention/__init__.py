"""Where networks look after each training."""
