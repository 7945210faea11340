"""The noise: Gaussian, the same for the same files, another one for any other."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.privacy.noise import Noise, derived, new_key
from tests.properties import PROPERTY

KEY = bytes(range(32))


def noise(key=KEY, number=1, attempt=1, digests=("a", "b")):
    return Noise(key, number, attempt, digests)


def test_it_is_standard_normal():
    found = noise().of_tensor("w", 0, 200_000)
    assert abs(found.mean()) < 5 / math.sqrt(200_000)
    assert abs(found.var() - 1) < 5 * math.sqrt(2 / 200_000)
    normal = statistics.NormalDist()
    for point in (-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3):  # its distribution, by Dvoretzky, Kiefer and Wolfowitz
        assert abs((found <= point).mean() - normal.cdf(point)) < math.sqrt(math.log(2 / 1e-6) / (2 * 200_000))


def test_neighbouring_values_have_nothing_in_common():
    found = noise().of_tensor("w", 0, 200_001)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 5 / math.sqrt(200_000)


@given(start=st.integers(0, 300), count=st.integers(1, 300))
@PROPERTY
def test_a_coordinate_has_its_noise_whatever_block_it_is_in(start, count):
    whole = noise().of_tensor("w", 0, 600)
    assert np.array_equal(noise().of_tensor("w", start, count), whole[start : start + count])


def test_the_order_of_files_does_not_matter():
    assert np.array_equal(noise().of_tensor("w", 0, 9), noise(digests=("b", "a")).of_tensor("w", 0, 9))


@pytest.mark.parametrize(
    "other",
    [
        noise(key=bytes(32)),
        noise(number=2),
        noise(attempt=2),
        noise(digests=("a", "c")),
        noise(digests=("a",)),
        noise(digests=("a", "b", "b")),
        noise(digests=("ab",)),
        noise(number=11, attempt=1, digests=("a", "b")),
    ],
)
def test_another_key_round_try_or_file_gives_another_noise(other):
    assert abs(np.corrcoef(noise().of_tensor("w", 0, 10_000), other.of_tensor("w", 0, 10_000))[0, 1]) < 0.05
    assert noise().of_count() != other.of_count()


def test_tensors_and_the_count_have_noises_of_their_own():
    values = [noise().of_tensor("w", 0, 1)[0], noise().of_tensor("v", 0, 1)[0], noise().of_count()]
    values.append(noise().of_tensor("count", 0, 1)[0])
    assert len(set(values)) == 4


def test_keys_are_new_each_time():
    assert len({new_key() for _ in range(100)}) == 100 and {len(new_key())} == {32}


def test_parts_of_a_key_cannot_be_shifted_into_each_other():
    assert derived(KEY, b"ab", b"c") != derived(KEY, b"a", b"bc")


def test_a_known_value():
    """RFC 8439, 2.3.2, changed to counter 0 and our nonce, is checked by the library; this pins what we make of it."""
    words = np.frombuffer(_stream(derived(derived(KEY, b"round", b"1", b"1", b"a"), b"tensor", b"w")), "<u8")
    u, v = (int(words[0]) // 2**11 + 1) / 2**53, (int(words[1]) // 2**11) / 2**53
    by_hand = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    assert noise(digests=("a",)).of_tensor("w", 0, 1)[0] == pytest.approx(by_hand, rel=1e-14)


def _stream(key):
    """The first block of ChaCha20, written out: RFC 8439, section 2.3, with counter and nonce zero."""
    mask = 0xFFFFFFFF
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *np.frombuffer(key, "<u4").tolist(), 0, 0, 0, 0]
    x = list(state)

    def quarter(a, b, c, d):
        for into, source, target, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[into] = (x[into] + x[source]) & mask
            mixed = x[target] ^ x[into]
            x[target] = ((mixed << bits) | (mixed >> (32 - bits))) & mask

    for _ in range(10):
        for columns in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
            quarter(*columns)
        for diagonals in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(*diagonals)
    return b"".join(((a + b) & mask).to_bytes(4, "little") for a, b in zip(x, state, strict=True))
