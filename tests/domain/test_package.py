"""A line of a requirements file is a name with versions, or it is none."""

from __future__ import annotations

import pytest

from plinth.domain.package import is_package


@pytest.mark.parametrize(
    "text",
    [
        *("numpy", "ruamel.yaml==0.18", " pandas >= 2 , < 3 ", "pandas (>=2)", "pandas(>=2,<3)"),
        *("torch==2.5.0+cpu", "numpy==1.*", "a~=1.0", "a===x", "a!=1.5", "a>=1,"),
        *("tritonclient[HTTP, grpc]==2.1", "a[]", "llm [x] >=1"),
        "tomli ; python_version < '3.11'",
        'tomli>=2; (python_version<"3.11" and os_name == "nt") or extra == \'x\'',
        "a; 'linux' in sys_platform and sys_platform not  in 'win32'",
        "a; ((implementation_name == 'cpython'))",
    ],
)
def test_what_pep_508_has_is_a_package(text: str) -> None:
    assert is_package(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[a]", "-r other.txt", "-e .", "./pkg", "a @ https://127.0.0.1/a", "a==", "a 1.0"),
        *("a==1 b", "a==1; ", "a==1 --hash=x", "a>>1", "a=1", "a (>=2", "a>=1,,<2"),
        *("flask; os.system(1)", "a; python_version", "a; python_version < 3.11", "a; x == '1'"),
        *("a; python_version < '3' and", "a; (os_name == 'a'", "a; os_name == 'a' os_name == 'b'"),
        *("a; 'a' 'b'", "a; and", "a; ()", "a;" + "(" * 2000, "a; os_name == 'x\n--pre'; y"),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_package(text)
