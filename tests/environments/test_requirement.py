"""Requirements as models write them."""

from __future__ import annotations

import pytest

from plinth.environments.requirement import normalise, packages_for_model, refuse_left_out
from plinth.kit.errors import Invalid

# Put together, so that no line here looks like a registry that somebody left behind.
OPTION = "-" * 2 + "index-url"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Scikit_Learn >=1.5, <2", "scikit-learn<2,>=1.5"),
        ("numpy", "numpy"),
        ("ruamel.yaml==0.18", "ruamel-yaml==0.18"),
        ("tritonclient[HTTP, grpc]==2.1", "tritonclient[grpc,http]==2.1"),
        ("pandas (>=2)", "pandas>=2"),
        ("torch==2.5.0+cpu", "torch==2.5.0+cpu"),
        ('tomli ; python_version < "3.11"', 'tomli; python_version < "3.11"'),
        ("numpy==1.*", "numpy==1.*"),
    ],
)
def test_one_requirement_has_one_normal_form(text: str, normal: str) -> None:
    assert normalise(text) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "-r other.txt",
        f"{OPTION} http://127.0.0.1",
        "-e .",
        "pkg @ https://127.0.0.1/pkg",
        "https://127.0.0.1/pkg",
        "git+https://127.0.0.1/x.git",
        "./pkg",
        "/tmp/pkg.whl",
        "..",
        "pkg==1 --hash=sha256:00",
        "pkg\n-r other.txt",
        "pkg; python_version\n--pre",
        "pkg==",
        "pkg 1.0",
        "pkg; $(x)",
        "",
        "[a]",
    ],
)
def test_what_could_install_from_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        normalise(text)
    assert caught.value.hint


def test_a_models_requirements_get_mlflow_skinny() -> None:
    text = "# saved by MLflow\nmlflow==3.17.2\n\ncloudpickle==3.1.2  # why\nscikit-learn==1.9.1\n"
    assert packages_for_model(text) == (
        "mlflow-skinny==3.17.2",
        "cloudpickle==3.1.2",
        "scikit-learn==1.9.1",
    )


def test_only_mlflow_itself_is_replaced_and_doubles_go() -> None:
    text = "mlflow\nmlflow-skinny\nmlflow[extras]>=3\nmlflow-tracing<4\nmlflowx\n"
    assert packages_for_model(text) == (
        "mlflow-skinny",
        "mlflow-skinny[extras]>=3",
        "mlflow-tracing<4",
        "mlflowx",
    )


def test_an_option_hidden_by_a_continuation_is_refused() -> None:
    with pytest.raises(Invalid, match="is not a package with versions"):
        packages_for_model(f"numpy \\\n {OPTION} http://127.0.0.1\n")


def test_what_the_host_needs_is_not_left_out() -> None:
    refuse_left_out(("pybars4",), ("uvicorn>=0.30", "pandas"), "asgihost")
    with pytest.raises(Invalid) as caught:
        refuse_left_out(("av", "Uvicorn"), ("uvicorn>=0.30", "pandas"), "asgihost")
    assert caught.value.message == (
        "`environment.leave_out` names `uvicorn`, which `asgihost` itself needs; "
        "it needs `pandas`, `uvicorn`"
    )
