//! Canada and Latin America.

use super::{OF_A_PERSON, OF_TAXES, identity};
use crate::masking::detectors::{
    Detector,
    checksums::{digit, is_repeated, is_short_date, luhn, number, weighted},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "ca_sin",
        [],
        ["999999999", "999 999 999", "999-999-999"],
        ca_sin,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &[
                "sin",
                "socialinsurance",
                "socialinsurancenumber",
                "nas",
                "assurancesociale"
            ]
        ],
        ["SIN: 130 692 544", "social insurance number 130692544"],
        ["130 692 544", "SIN 130692545", "SIN 130692544.5"]
    ),
    identity!(
        "mx_curp",
        ["AAAA999999AAAAAAX9"],
        [],
        mx_curp,
        &[],
        ["BOXW310820HNERXN09"],
        ["BOXW310820HNERXN08", "BOXW311320HNERXN09", "BOXW310820QNERXN09"]
    ),
    identity!(
        "br_cpf",
        ["999.999.999-99"],
        ["99999999999", "999999999-99"],
        br_cpf,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["cpf", "cadastrodepessoafísica", "cadastrodepessoasfísicas"]
        ],
        ["390.533.447-05", "CPF 39053344705"],
        ["390.533.447-06", "39053344705", "111.111.111-11"]
    ),
    identity!(
        "br_cnpj",
        ["99.999.999/9999-99"],
        ["99999999999999"],
        br_cnpj,
        &[OF_TAXES, &["cnpj"]],
        ["16.727.230/0001-97", "CNPJ: 16727230000197"],
        ["16.727.230/0001-98", "16727230000197"]
    ),
    identity!(
        "ar_cuit",
        ["99-99999999-9"],
        ["99999999999"],
        ar_cuit,
        &[OF_A_PERSON, OF_TAXES, &["cuit", "cuil"]],
        ["20-05536168-2", "cuit_20055361682"],
        ["20-05536168-3", "20055361682", "21-05536168-2"]
    ),
    identity!(
        "cl_rut",
        ["99.999.999-X", "9.999.999-X"],
        ["99999999-X", "9999999-X", "99999999X", "9999999X"],
        cl_rut,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["rut", "run", "rolúnicotributario", "rolunicotributario"]
        ],
        ["12.531.909-2", "RUT 12531909-2"],
        ["12.531.909-3", "12531909-2"]
    ),
    identity!(
        "co_nit",
        [],
        ["999.999.999-9", "999999999-9", "9999999999"],
        co_nit,
        &[OF_TAXES, &["nit"]],
        ["NIT 213.123.432-1"],
        ["NIT 213.123.432-2", "213.123.432-1"]
    ),
    identity!(
        "ec_cedula",
        [],
        ["9999999999", "999999999-9"],
        ec_cedula,
        &[
            OF_A_PERSON,
            &["cedula", "cédula", "cedulaidentidad", "ceduladeidentidad"]
        ],
        ["cédula 1714307103"],
        ["cédula 1714307104", "1714307103", "cedula 3114307103"]
    ),
    identity!(
        "do_cedula",
        [],
        ["999-9999999-9", "99999999999"],
        luhn,
        &[OF_A_PERSON, &["cedula", "cédula"]],
        ["cedula: 001-1391820-5"],
        ["cedula: 001-1391820-6", "001-1391820-5"]
    ),
];

/// Luhn's sum; no number begins with 0 or 8.
fn ca_sin(sin: &[u8]) -> bool {
    !matches!(digit(sin, 0), 0 | 8) && luhn(sin)
}

/// The 16 letters and digits of a person, a homoclave and a check digit over an alphabet with Ñ behind N.
fn mx_curp(curp: &[u8]) -> bool {
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte - b'A') + 11,
    };
    let sum: u32 = curp
        .iter()
        .take(17)
        .zip((2..=18).rev())
        .map(|(byte, weight)| value(byte) * weight)
        .sum();
    let is_person = matches!(curp.get(10), Some(b'H' | b'M' | b'X'));
    let is_born = is_short_date(number(curp, 4, 6), number(curp, 6, 8), number(curp, 8, 10));
    is_person && is_born && (10 - sum % 10) % 10 == digit(curp, 17)
}

/// The check digit of a sum modulo 11, where what is over 9 is 0.
fn from_eleven(sum: u32) -> u32 {
    match 11 - sum % 11 {
        10 | 11 => 0,
        check => check,
    }
}

fn br_cpf(cpf: &[u8]) -> bool {
    let first = from_eleven(weighted(cpf, &[10, 9, 8, 7, 6, 5, 4, 3, 2]));
    let second = from_eleven(weighted(cpf, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]));
    !is_repeated(cpf) && (first, second) == (digit(cpf, 9), digit(cpf, 10))
}

fn br_cnpj(cnpj: &[u8]) -> bool {
    let first = from_eleven(weighted(cnpj, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
    let second = from_eleven(weighted(cnpj, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
    !is_repeated(cnpj) && (first, second) == (digit(cnpj, 12), digit(cnpj, 13))
}

fn ar_cuit(cuit: &[u8]) -> bool {
    let check = match 11 - weighted(cuit, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => 0,
        10 => 9,
        check => check,
    };
    let is_kind = matches!(number(cuit, 0, 2), 20 | 23..=27 | 30 | 33 | 34 | 50 | 51 | 55);
    is_kind && check == digit(cuit, 10)
}

/// Weights 2 to 7 from the right, again and again; K stands for 10.
fn cl_rut(rut: &[u8]) -> bool {
    let Some((last, body)) = rut.split_last() else {
        return false;
    };
    let weights = [2, 3, 4, 5, 6, 7].iter().cycle();
    let sum: u32 = body
        .iter()
        .rev()
        .zip(weights)
        .map(|(byte, weight)| u32::from(byte - b'0') * weight)
        .sum();
    let check = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        check => b'0' + u8::try_from(check).unwrap_or_default(),
    };
    *last == check
}

fn co_nit(nit: &[u8]) -> bool {
    let sum = weighted(nit, &[41, 37, 29, 23, 19, 17, 13, 7, 3]) % 11;
    (if sum > 1 { 11 - sum } else { sum }) == digit(nit, 9)
}

/// A province, a third digit of persons, and Luhn's sum.
fn ec_cedula(cedula: &[u8]) -> bool {
    matches!(number(cedula, 0, 2), 1..=24 | 30 | 50) && digit(cedula, 2) < 6 && luhn(cedula)
}
