"""What can be told of the node's start without starting one; tests/journeys start one."""

from plinth.node import passed_variables


def test_no_secret_of_the_shell_reaches_the_nodes_processes():
    shell = {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "UV_DEFAULT_INDEX": "https://packages.example",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "GITHUB_TOKEN": "t0ken",
        "PLINTH_KEY": "plk_x",
        "PYTHONPATH": "/elsewhere",
        "VIRTUAL_ENV": "/venv",
    }
    assert passed_variables(shell) == {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "UV_DEFAULT_INDEX": "https://packages.example",
        "PYTHONUNBUFFERED": "1",
    }
