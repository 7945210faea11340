import re

import pytest

from federation import tokens


def test_a_client_token_is_32_random_bytes_in_hexadecimal():
    assert re.fullmatch("[0-9a-f]{64}", tokens.client_token())
    assert tokens.client_token() != tokens.client_token()


def test_an_api_key_is_told_from_a_client_token_by_its_beginning():
    assert tokens.api_key().startswith("flk_")


def test_a_join_code_has_no_letters_that_are_mistaken_for_each_other():
    code = tokens.join_code()
    assert re.fullmatch("([2-9A-HJ-NP-Z]{4}-){3}[2-9A-HJ-NP-Z]{4}", code)


@pytest.mark.parametrize(
    "typed", ["abcd-efgh-2345-6789", " ABCD EFGH 2345 6789 ", "abcdefgh23456789", "AB-CDEFGH2345-6789\n"]
)
def test_a_join_code_may_be_typed_in_any_way(typed):
    assert tokens.normal_code(typed) == "ABCD-EFGH-2345-6789"
