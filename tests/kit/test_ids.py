import hashlib
import re

from plinth.kit.ids import digest_of, new_id


def test_an_id_has_its_prefix_and_characters_that_are_not_mistaken_for_others():
    assert re.fullmatch(r"r_[a-km-np-z2-9]{10}", new_id("r_"))
    assert len(new_id("k_", 8)) == 10


def test_ids_differ():
    assert len({new_id("r_") for _ in range(1000)}) == 1000


def test_the_digest_is_sha256_in_hexadecimal():
    assert digest_of(b"plinth") == hashlib.sha256(b"plinth").hexdigest()
