"""MLflow: experiments, the model registry, and artifacts."""
