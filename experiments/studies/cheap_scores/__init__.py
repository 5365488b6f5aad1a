"""What cheap scores keep of importance sampling."""
