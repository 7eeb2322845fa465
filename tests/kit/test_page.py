from plinth.kit.page import HEADERS, Button, page


def test_whatever_is_given_is_text_and_never_markup():
    text = page(
        "<b>", "<script>alert(1)</script>", command="<i>", button=Button("<u>", '"><x', "get")
    )
    assert not any(f"<{name}>" in text for name in ("b", "script", "i", "u", "x"))


def test_names_and_commands_stand_out():
    text = page("t", "Run `plinth keys` now", command="plinth open")
    assert "Run <code>plinth keys</code> now" in text
    assert "<code>plinth open</code>" in text


def test_a_button_sends_its_fields():
    text = page("t", "x", button=Button("Go", "/sign-in", "get", (("code", 'a"b'),)))
    assert '<form method="get" action="/sign-in">' in text
    assert '<input type="hidden" name="code" value="a&quot;b">' in text


def test_a_page_needs_nothing_that_its_headers_forbid():
    text = page("t", "x", command="c", button=Button("b", "/a"))
    assert "script" not in text
    assert "http" not in text
    assert "default-src 'none'" in HEADERS["content-security-policy"]


def test_a_page_may_stand_in_the_gateway_s_formats_where_percent_signs_have_a_meaning():
    assert "%" not in page("t", "x", command="c", button=Button("b", "/a"))
