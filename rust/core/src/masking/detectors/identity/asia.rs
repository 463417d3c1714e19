//! Asia, Turkey, Russia and Ukraine.

use super::{OF_A_PERSON, OF_TAXES, identity};
use crate::masking::detectors::{
    Detector,
    checksums::{digit, is_date, is_repeated, is_short_date, luhn, number, verhoeff, weighted},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "tr_kimlik",
        [],
        ["99999999999"],
        tr_kimlik,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["kimlik", "kimlikno", "tckn", "tckimlik", "tckimlikno"]
        ],
        ["TC Kimlik No: 17291716060"],
        ["17291716060", "kimlik 17291716061"]
    ),
    identity!(
        "il_id",
        [],
        ["999999999", "99999999-9"],
        il_id,
        &[OF_A_PERSON, &["teudatzehut", "תעודתזהות", "מספרזהות", "תז"]],
        ["teudat zehut 039337423"],
        ["039337423", "teudat zehut 039337424"]
    ),
    identity!(
        "in_aadhaar",
        [],
        ["999999999999", "9999 9999 9999", "9999-9999-9999"],
        in_aadhaar,
        &[
            OF_A_PERSON,
            &["aadhaar", "aadhar", "uidai", "aadhaarnumber", "आधार"]
        ],
        ["Aadhaar 2341 2341 2346", "Aadhaar 234123412346"],
        [
            "2341 2341 2346",
            "Aadhaar 2341 2341 2347",
            "Aadhaar 1341 2341 2346"
        ]
    ),
    identity!(
        "in_pan",
        [],
        ["AAAAA9999A"],
        in_pan,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["pan", "pancard", "pannumber", "panno", "permanentaccountnumber"]
        ],
        ["PAN ACUPA7085R"],
        ["ACUPA7085R", "PAN ACUXA7085R"]
    ),
    identity!(
        "cn_resident_id",
        ["99999999999999999X"],
        [],
        cn_resident_id,
        &[],
        ["360426199101010071", "11010519491231002X"],
        ["360426199101010072", "360426199113010071"]
    ),
    identity!(
        "tw_id",
        [],
        ["A999999999"],
        tw_id,
        &[
            OF_A_PERSON,
            &["身分證", "身份證", "身分證字號", "統一編號", "taiwanid"]
        ],
        ["身分證字號 A123456789"],
        ["A123456789", "身分證 A123456788"]
    ),
    identity!(
        "hk_id",
        ["A999999(X)", "AA999999(X)"],
        ["A999999X", "AA999999X"],
        hk_id,
        &[OF_A_PERSON, &["hkid", "hkidnumber", "hongkongid", "身份證"]],
        ["G123456(A)", "HKID G123456A"],
        ["G123456(B)", "G123456A"]
    ),
    identity!(
        "kr_rrn",
        ["999999-9999999"],
        ["9999999999999"],
        kr_rrn,
        &[
            OF_A_PERSON,
            &[
                "rrn",
                "residentregistration",
                "residentregistrationnumber",
                "주민등록번호",
                "주민번호"
            ]
        ],
        ["971013-9019902", "주민등록번호 9710139019902"],
        ["971013-9019903", "9710139019902", "971313-9019902"]
    ),
    identity!(
        "jp_my_number",
        [],
        ["999999999999", "9999 9999 9999", "9999-9999-9999"],
        jp_my_number,
        &[OF_A_PERSON, OF_TAXES, &["mynumber", "マイナンバー", "個人番号"]],
        ["マイナンバー 123456789018", "My Number: 1234 5678 9018"],
        ["123456789018", "my number 123456789019"]
    ),
    identity!(
        "sg_nric",
        ["A9999999A"],
        [],
        sg_nric,
        &[],
        ["S1234567D", "F1234567N"],
        ["S1234567E", "A1234567D"]
    ),
    identity!(
        "my_nric",
        ["999999-99-9999"],
        ["999999999999"],
        my_nric,
        &[OF_A_PERSON, &["mykad", "nric", "kadpengenalan"]],
        ["770305-02-1234", "MyKad 770305021234"],
        ["771305-02-1234", "770305021234", "770305-17-1234"]
    ),
    identity!(
        "th_id",
        ["9-9999-99999-99-9"],
        ["9999999999999"],
        th_id,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["บัตรประชาชน", "เลขประจำตัวประชาชน", "thaiid"]
        ],
        ["1-2015-41462-23-4", "Thai ID 1201541462234"],
        ["1-2015-41462-23-5", "1201541462234"]
    ),
    identity!(
        "ru_inn",
        [],
        ["999999999999", "9999999999"],
        ru_inn,
        &[OF_A_PERSON, OF_TAXES, &["inn", "инн"]],
        ["ИНН 500100732259", "INN: 7707083893"],
        ["500100732259", "ИНН 500100732258", "INN 7707083894"]
    ),
    identity!(
        "ru_snils",
        ["999-999-999 99", "999-999-999-99"],
        ["99999999999"],
        ru_snils,
        &[OF_A_PERSON, &["snils", "снилс"]],
        ["112-233-445 95", "СНИЛС 11223344595"],
        ["112-233-445 96", "11223344595"]
    ),
    identity!(
        "ua_rnokpp",
        [],
        ["9999999999"],
        ua_rnokpp,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["rnokpp", "рнокпп", "РНОКПП", "іпн", "ІПН"]
        ],
        ["РНОКПП 1759013776"],
        ["1759013776", "РНОКПП 1759013777"]
    ),
    identity!(
        "ae_emirates_id",
        ["784-9999-9999999-9", "784999999999999"],
        [],
        ae_emirates_id,
        &[],
        ["784-1980-1234567-8"],
        ["784-1980-1234567-9", "785-1980-1234567-8"]
    ),
];

fn tr_kimlik(id: &[u8]) -> bool {
    let (odd, even) = (
        weighted(id, &[1, 0, 1, 0, 1, 0, 1, 0, 1]),
        weighted(id, &[0, 1, 0, 1, 0, 1, 0, 1]),
    );
    let tenth = (odd * 7 + 90 - even) % 10;
    digit(id, 0) != 0 && tenth == digit(id, 9) && (odd + even + tenth) % 10 == digit(id, 10)
}

fn il_id(id: &[u8]) -> bool {
    number(id, 0, 9) > 0 && luhn(id)
}

fn in_aadhaar(id: &[u8]) -> bool {
    digit(id, 0) > 1 && verhoeff(id)
}

/// The fourth letter tells whose it is; what the last one checks is not published.
fn in_pan(pan: &[u8]) -> bool {
    pan.get(3).is_some_and(|holder| b"ABCFGHLJPT".contains(holder)) && number(pan, 5, 9) > 0
}

/// GB 11643: a region, a day of birth, and ISO/IEC 7064 MOD 11-2.
fn cn_resident_id(id: &[u8]) -> bool {
    let sum = weighted(id, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let year = number(id, 6, 10);
    let is_born = (1850..2100).contains(&year) && is_date(year, number(id, 10, 12), number(id, 12, 14));
    let is_region = matches!(number(id, 0, 2), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83 | 91);
    is_region && is_born && id.get(17) == b"10X98765432".get(sum as usize % 11)
}

/// A letter of a county, which stands for two digits.
fn tw_id(id: &[u8]) -> bool {
    let Some((letter, rest)) = id.split_first() else {
        return false;
    };
    let county = b"ABCDEFGHJKLMNPQRSTUVXYWZIO"
        .iter()
        .position(|known| known == letter);
    let county = 10 + county.and_then(|county| u32::try_from(county).ok()).unwrap_or(0);
    let sum = county / 10 + county % 10 * 9 + weighted(rest, &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    matches!(rest.first(), Some(b'1' | b'2' | b'8' | b'9')) && sum.is_multiple_of(10)
}

/// A is 10; where there is one letter, a space of the value 36 stands ahead of it.
fn hk_id(id: &[u8]) -> bool {
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte.wrapping_sub(b'A')) + 10,
    };
    let sum: u32 = id
        .iter()
        .rev()
        .zip(1..)
        .map(|(byte, weight)| value(byte) * weight)
        .sum();
    let space = if id.len() == 8 { 36 * 9 } else { 0 };
    matches!(id.last(), Some(b'0'..=b'9' | b'A')) && (sum + space).is_multiple_of(11)
}

/// A day of birth, sex and century. Numbers of those born since October 2020 check nothing.
fn kr_rrn(id: &[u8]) -> bool {
    let sum = weighted(id, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let is_born = is_short_date(number(id, 0, 2), number(id, 2, 4), number(id, 4, 6));
    let is_unchecked = matches!(digit(id, 6), 3 | 4 | 7 | 8) && (2010..4000).contains(&number(id, 0, 4));
    is_born && (is_unchecked || (11 - sum % 11) % 10 == digit(id, 12))
}

fn jp_my_number(id: &[u8]) -> bool {
    let check = match weighted(id, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    check == digit(id, 11) && !is_repeated(id)
}

/// A letter of the series, seven digits, and a letter of a remainder by 11 from the series' row.
fn sg_nric(id: &[u8]) -> bool {
    let sum = weighted(id.get(1..8).unwrap_or_default(), &[2, 7, 6, 5, 4, 3, 2]) as usize;
    let expected = match id.first() {
        Some(b'S') => b"JZIHGFEDCBA".get(sum % 11),
        Some(b'T') => b"JZIHGFEDCBA".get((sum + 4) % 11),
        Some(b'F') => b"XWUTRQPNMLK".get(sum % 11),
        Some(b'G') => b"XWUTRQPNMLK".get((sum + 4) % 11),
        Some(b'M') => b"XWUTRQPNJLK".get((sum + 3) % 11),
        _ => None,
    };
    expected.is_some() && id.get(8) == expected
}

/// A day of birth and a place of birth.
fn my_nric(id: &[u8]) -> bool {
    let is_place = matches!(number(id, 6, 8), 1..=16 | 21..=68 | 71..=72 | 74..=79 | 82..=93 | 98..=99);
    is_place && is_short_date(number(id, 0, 2), number(id, 2, 4), number(id, 4, 6))
}

fn th_id(id: &[u8]) -> bool {
    let sum = weighted(id, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digit(id, 0) > 0 && (11 - sum % 11) % 10 == digit(id, 12)
}

/// Ten digits of a firm, twelve of a person.
fn ru_inn(inn: &[u8]) -> bool {
    let rest = |weights: &[u32]| weighted(inn, weights) % 11 % 10;
    if inn.len() == 10 {
        return rest(&[2, 4, 10, 3, 5, 9, 4, 6, 8]) == digit(inn, 9) && number(inn, 0, 10) > 0;
    }
    rest(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digit(inn, 10)
        && rest(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digit(inn, 11)
        && number(inn, 0, 10) > 0
}

fn ru_snils(id: &[u8]) -> bool {
    let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
    number(id, 0, 9) > 1_001_998 && u64::from(sum % 101 % 100) == number(id, 9, 11)
}

fn ua_rnokpp(id: &[u8]) -> bool {
    let positive = weighted(id, &[0, 5, 7, 9, 4, 6, 10, 5, 7]) + 11 - digit(id, 0);
    number(id, 0, 9) > 0 && positive % 11 % 10 == digit(id, 9)
}

fn ae_emirates_id(id: &[u8]) -> bool {
    (1900..2100).contains(&number(id, 3, 7)) && luhn(id)
}
