"""What runs inside MLflow's own environment, with MLflow's packages and none of ours."""
