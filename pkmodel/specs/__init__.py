"""What is legal in a file: models, protocols, populations and scenarios, validated and frozen."""
