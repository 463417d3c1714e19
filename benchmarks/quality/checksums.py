"""Check digits, written from the standards and apart from the core's, so that the two can be held against each other."""

import hashlib
from collections.abc import Iterable, Sequence

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VERHOEFF_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def weighted(digits: str, weights: Iterable[int]) -> int:
    """The sum of digits times weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def luhn_digit(digits: str) -> str:
    """ISO/IEC 7812-1, annex B."""
    doubled = (int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(digits)))
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def is_luhn(digits: str) -> bool:
    """Whether the last digit is Luhn's."""
    return luhn_digit(digits[:-1]) == digits[-1]


def mod_11_10_digit(digits: str) -> str:
    """ISO/IEC 7064, the hybrid system MOD 11,10."""
    product = 10
    for digit in digits:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return str((11 - product) % 10)


def ean_digit(digits: str) -> str:
    """GS1's: weights 3 and 1 from the right."""
    return str(-sum(int(digit) * (3 - 2 * (index % 2)) for index, digit in enumerate(reversed(digits))) % 10)


def _dihedral(first: int, second: int) -> int:
    """The product of two symmetries of a pentagon: 0 to 4 are its turns, 5 to 9 the mirrored ones."""
    step = first - second if first >= 5 else first + second
    return step % 5 + 5 * ((first >= 5) ^ (second >= 5))


def verhoeff_digit(digits: str) -> str:
    """J. Verhoeff, Error Detecting Decimal Codes, 1969."""

    def permuted(digit: int, times: int) -> int:
        for _ in range(times % 8):
            digit = _VERHOEFF_PERMUTATION[digit]
        return digit

    def check(text: str) -> int:
        value = 0
        for index, digit in enumerate(reversed(text)):
            value = _dihedral(value, permuted(int(digit), index))
        return value

    return next(digit for digit in "0123456789" if check(digits + digit) == 0)


def iban_is_sound(iban: str) -> bool:
    """ISO 13616: 1 is left of the rearranged number modulo 97."""
    compact = iban.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1


def mrz_digit(text: str) -> str:
    """ICAO Doc 9303-3, 4.9: weights 7, 3, 1, with A as 10 and the filler as 0."""
    return str(sum((0 if letter == "<" else int(letter, 36)) * (7, 3, 1)[index % 3] for index, letter in enumerate(text)) % 10)


def codice_fiscale_letter(text: str) -> str:
    """Decreto ministeriale of 23 December 1976: values of the odd places from a table, of the even ones from the alphabet."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    places = [int(letter) if letter.isdigit() else ord(letter) - ord("A") for letter in text]
    return chr(ord("A") + sum(place if index % 2 else odd[place] for index, place in enumerate(places)) % 26)


# -- addresses of currencies
def base58check(payload: bytes) -> str:
    """A payload and the first four bytes of its double SHA-256, in base 58."""
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, out = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        out = BASE58[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def segwit_address(version: int, program: bytes) -> str:
    """BIP 173 for version 0, BIP 350 for later ones."""
    bits = "".join(f"{byte:08b}" for byte in program)
    bits += "0" * (-len(bits) % 5)
    values = [version, *(int(bits[at : at + 5], 2) for at in range(0, len(bits), 5))]
    prefix = [ord(letter) >> 5 for letter in "bc"] + [0] + [ord(letter) & 31 for letter in "bc"]
    rest = _bech32_polymod([*prefix, *values, 0, 0, 0, 0, 0, 0]) ^ (1 if version == 0 else 0x2BC830A3)
    return "bc1" + "".join(BECH32[value] for value in [*values, *((rest >> 5 * (5 - index)) & 31 for index in range(6))])


def _bech32_polymod(values: Sequence[int]) -> int:
    generator = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ value
        for index, part in enumerate(generator):
            rest ^= part if (top >> index) & 1 else 0
    return rest


def ethereum_address(account: bytes) -> str:
    """EIP-55: a letter is a capital where the digit of the Keccak-256 of the lower-case address is 8 or more."""
    plain = account.hex()
    digest = keccak_256(plain.encode()).hex()
    return "0x" + "".join(letter.upper() if int(mark, 16) >= 8 else letter for letter, mark in zip(plain, digest, strict=False))


def keccak_256(message: bytes) -> bytes:
    """The original Keccak with a rate of 136 bytes, which pads with 01 where SHA-3 pads with 06."""
    rate = 136
    padded = bytearray(message + b"\x01" + bytes(-(len(message) + 1) % rate))
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for at in range(0, len(padded), rate):
        for index in range(rate // 8):
            lanes[index % 5][index // 5] ^= int.from_bytes(padded[at + 8 * index : at + 8 * index + 8], "little")
        lanes = _keccak_f(lanes)
    return b"".join(lanes[index][0].to_bytes(8, "little") for index in range(4))


def _keccak_f(lanes: list[list[int]]) -> list[list[int]]:
    """The permutation of FIPS 202, 3.3, with its steps named there."""
    register = 1
    for _ in range(24):
        columns = [a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] for a in lanes]  # theta
        lanes = [[lane ^ columns[(x - 1) % 5] ^ _turn(columns[(x + 1) % 5], 1) for lane in lanes[x]] for x in range(5)]
        x, y, moved = 1, 0, lanes[1][0]
        for step in range(24):  # rho and pi
            x, y = y, (2 * x + 3 * y) % 5
            moved, lanes[x][y] = lanes[x][y], _turn(moved, (step + 1) * (step + 2) // 2 % 64)
        lanes = [[lanes[x][y] ^ (~lanes[(x + 1) % 5][y] & lanes[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]  # chi
        for bit in range(7):  # iota
            register = (register << 1 ^ (register >> 7) * 0x71) % 256
            lanes[0][0] ^= (register >> 1 & 1) << ((1 << bit) - 1)
    return lanes


def _turn(lane: int, bits: int) -> int:
    return (lane << bits | lane >> (64 - bits)) & (2**64 - 1)
