"""Functions named on the command line."""

import hypothesis
import hypothesis.strategies as st
import pytest

from experiments.run.call_syntax import parse_call, resolve_call


def test_a_bare_name_has_no_options():
    assert parse_call("ricap") == ("ricap", {})
    assert parse_call(" ricap() ") == ("ricap", {})
    assert parse_call("ShakeDrop.with_final_relu") == ("ShakeDrop.with_final_relu", {})
    assert parse_call("A.b(c=1)") == ("A.b", {"c": 1})


@hypothesis.given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda s: s.isidentifier()),
        st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(), st.none()),
        max_size=3,
    )
)
def test_what_is_written_as_a_call_is_read_back(options):
    import keyword

    hypothesis.assume(not any(keyword.iskeyword(name) for name in options))
    text = f"f({', '.join(f'{name}={value!r}' for name, value in options.items())})"
    assert parse_call(text) == ("f", options)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crop(",
        "crop(4)",
        "crop(**x)",
        "a.b.c(d=1)",
        "crop(padding=__import__('os'))",
        "1 + 1",
        "f(x=open('y'))",
        "x=1",
    ],
)
def test_anything_else_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"expected name or name\(option=value, ...\); got") as error:
        parse_call(text)
    assert "\n" not in str(error.value)


@hypothesis.given(st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_raise_value_error(text):
    try:
        name, _ = parse_call(text)
        assert all(part.isidentifier() for part in name.split("."))
    except ValueError:
        pass


def test_unknown_names_and_options_suggest_the_nearest():
    def crop(key, images, *, padding=4):
        return images

    assert resolve_call("crop(padding=2)", {"crop": crop}, "augmentation") == (crop, {"padding": 2})
    with pytest.raises(ValueError, match="unknown augmentation 'crp'; did you mean 'crop'"):
        resolve_call("crp", {"crop": crop}, "augmentation")
    with pytest.raises(ValueError, match="unknown option of crop 'pading'; did you mean 'padding'"):
        resolve_call("crop(pading=2)", {"crop": crop}, "augmentation")
