//! The south of Europe, and France.

use super::{OF_A_PERSON, OF_TAXES, identity};
use crate::masking::detectors::{
    Detector,
    checksums::{digit, is_date, is_short_date, iso_11_10, luhn, number, weighted},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "fr_nir",
        ["999999X99999999", "9 99 99 9X 999 999 99"],
        [],
        fr_nir,
        &[],
        ["295109912611193", "2 95 10 99 126 111 93"],
        ["295109912611194", "995109912611193"]
    ),
    identity!(
        "es_dni",
        [
            "99999999A",
            "99999999-A",
            "99.999.999-A",
            "A9999999A",
            "A-9999999-A",
            "A9999999-A"
        ],
        [],
        es_dni,
        &[],
        ["54362315K", "54362315-K", "X2482300W", "X-2482300-W"],
        ["54362315L", "X2482300V", "A2482300W"]
    ),
    identity!(
        "pt_nif",
        [],
        ["999999999", "999 999 999"],
        pt_nif,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &[
                "nif",
                "contribuinte",
                "númerodecontribuinte",
                "numerocontribuinte"
            ]
        ],
        ["NIF 501964843"],
        ["501964843", "NIF 501964842"]
    ),
    identity!(
        "pt_citizen_card",
        ["99999999 9 XX9", "99999999-9-XX9"],
        ["999999999XX9"],
        pt_citizen_card,
        &[
            OF_A_PERSON,
            &["cartãodecidadão", "cartaodecidadao", "cartãocidadão"]
        ],
        ["00000000 0 ZZ4", "cartão de cidadão 000000000ZZ4"],
        ["00000000 0 ZZ5", "000000000ZZ4"]
    ),
    identity!(
        "it_codice_fiscale",
        ["AAAAAAXXAXXAXXXA"],
        [],
        it_codice_fiscale,
        &[],
        ["RCCMNL83S18D969H", "rccmnl83s18d969h"],
        ["RCCMNL83S18D969G", "RCCMNL83S98D969H"]
    ),
    identity!(
        "ro_cnp",
        [],
        ["9999999999999"],
        ro_cnp,
        &[OF_A_PERSON, OF_TAXES, &["cnp", "codnumericpersonal"]],
        ["CNP 1630615123457"],
        ["1630615123457", "CNP 1630615123458"]
    ),
    identity!(
        "bg_egn",
        [],
        ["9999999999"],
        bg_egn,
        &[OF_A_PERSON, &["egn", "егн", "единенгражданскиномер"]],
        ["EGN 7523169263", "егн: 7523169263"],
        ["7523169263", "EGN 7523169264"]
    ),
    identity!(
        "hr_oib",
        [],
        ["99999999999"],
        iso_11_10,
        &[OF_A_PERSON, OF_TAXES, &["oib", "osobniidentifikacijskibroj"]],
        ["OIB 33392005961"],
        ["33392005961", "OIB 33392005962"]
    ),
    identity!(
        "jmbg",
        [],
        ["9999999999999"],
        jmbg,
        &[OF_A_PERSON, &["jmbg", "emšo", "emso", "јмбг", "embg"]],
        ["JMBG 0101006500006"],
        ["0101006500006", "JMBG 0101006500007", "JMBG 0113006500006"]
    ),
    identity!(
        "gr_amka",
        [],
        ["99999999999"],
        gr_amka,
        &[OF_A_PERSON, &["amka", "αμκα"]],
        ["AMKA 01013099997"],
        ["01013099997", "AMKA 01013099998"]
    ),
];

/// Sex, year, month, department (2A and 2B are Corsica's), and a key modulo 97.
fn fr_nir(nir: &[u8]) -> bool {
    let corsica = match nir.get(5..7) {
        Some(b"2A") => 19,
        Some(b"2B") => 18,
        Some([b'0'..=b'9', b'0'..=b'9']) => number(nir, 5, 7),
        _ => return false,
    };
    let body = (number(nir, 0, 5) * 100 + corsica) * 1_000_000 + number(nir, 7, 13);
    let is_person = matches!(digit(nir, 0), 1..=4 | 7 | 8);
    let is_month = matches!(number(nir, 3, 5), 1..=12 | 20..=42 | 50..=99);
    is_person && is_month && corsica > 0 && 97 - body % 97 == number(nir, 13, 15)
}

/// A letter for the remainder by 23; X, Y and Z of a foreigner's number stand for 0, 1 and 2.
fn es_dni(dni: &[u8]) -> bool {
    let foreign = match dni.first() {
        Some(b'0'..=b'9') => None,
        Some(letter @ b'X'..=b'Z') => Some(u64::from(letter - b'X')),
        _ => return false,
    };
    let value = foreign.map_or_else(
        || number(dni, 0, 8),
        |first| first * 10_000_000 + number(dni, 1, 8),
    );
    dni.get(8) == b"TRWAGMYFPDXBNJZSQVHLCKE".get((value % 23) as usize)
}

fn pt_nif(nif: &[u8]) -> bool {
    let check = match 11 - weighted(nif, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
        10 | 11 => 0,
        check => check,
    };
    matches!(digit(nif, 0), 1 | 2 | 3 | 5 | 6 | 8 | 9) && check == digit(nif, 8)
}

/// Luhn's sum over letters too, of which A is 10.
fn pt_citizen_card(card: &[u8]) -> bool {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    };
    let sum: u32 = card
        .iter()
        .rev()
        .enumerate()
        .map(|(index, byte)| match value(*byte) << (index % 2) {
            doubled if index % 2 == 1 && doubled > 9 => doubled - 9,
            value => value,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Months are letters, days of women 40 more; letters may stand for digits where two people would have the same code. The last letter
/// is a sum in which characters at odd places have values of their own (decree of 12 March 1974).
fn it_codice_fiscale(code: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let place = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A'),
    };
    let sum: u32 = code
        .iter()
        .take(15)
        .enumerate()
        .map(|(index, byte)| match index % 2 {
            0 => ODD.get(place(*byte) as usize).copied().unwrap_or(0),
            _ => place(*byte),
        })
        .sum();
    let as_digit = |at: usize| match code.get(at) {
        Some(byte @ b'0'..=b'9') => Some(u32::from(byte - b'0')),
        Some(letter) => b"LMNPQRSTUV"
            .iter()
            .position(|known| known == letter)
            .and_then(|digit| u32::try_from(digit).ok()),
        None => None,
    };
    let is_month = code.get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month));
    let day = as_digit(9).zip(as_digit(10)).map(|(tens, ones)| tens * 10 + ones);
    let are_digits = [6, 7, 12, 13, 14].into_iter().all(|at| as_digit(at).is_some());
    is_month
        && are_digits
        && day.is_some_and(|day| matches!(day, 1..=31 | 41..=71))
        && code
            .get(15)
            .is_some_and(|last| u32::from(last.wrapping_sub(b'A')) == sum % 26)
}

/// Sex and century, day of birth, county.
fn ro_cnp(cnp: &[u8]) -> bool {
    let check = match weighted(cnp, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11 {
        10 => 1,
        check => check,
    };
    let is_born = is_short_date(number(cnp, 1, 3), number(cnp, 3, 5), number(cnp, 5, 7));
    digit(cnp, 0) > 0 && is_born && check == digit(cnp, 12)
}

/// Months tell the century by 20 or 40 more.
fn bg_egn(egn: &[u8]) -> bool {
    let sum = weighted(egn, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    let is_born =
        number(egn, 2, 4) < 53 && is_short_date(number(egn, 0, 2), number(egn, 2, 4) % 20, number(egn, 4, 6));
    is_born && sum == digit(egn, 9)
}

/// Of what was Yugoslavia: day, month, and the last three digits of the year.
fn jmbg(id: &[u8]) -> bool {
    let check = match 11 - weighted(id, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => 0,
        check => check,
    };
    let year = number(id, 4, 7);
    let year = if year < 800 { 2000 + year } else { 1000 + year };
    is_date(year, number(id, 2, 4), number(id, 0, 2)) && check == digit(id, 12)
}

fn gr_amka(id: &[u8]) -> bool {
    is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2)) && luhn(id)
}
