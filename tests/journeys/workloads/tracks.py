"""Log a parameter and two metrics to MLflow, then end as it is told: `ends CODE` or `waits`."""

import sys
import time

import mlflow

with mlflow.start_run():
    mlflow.log_param("rate", 0.5)
    for step, loss in enumerate((0.9, 0.4)):
        mlflow.log_metric("loss", loss, step=step)
print("logged", flush=True)
if sys.argv[1] == "waits":
    time.sleep(600)
sys.exit(int(sys.argv[2]))
