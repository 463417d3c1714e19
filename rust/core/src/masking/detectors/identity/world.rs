//! Africa and Oceania.

use super::{OF_A_PERSON, OF_HEALTH, OF_TAXES, identity};
use crate::masking::detectors::{
    Detector,
    checksums::{digit, is_short_date, luhn, number, weighted},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "za_id",
        [],
        ["9999999999999"],
        za_id,
        &[OF_A_PERSON, &["said", "zaid", "rsaid", "southafricanid", "idno"]],
        ["SA ID 7503305044089"],
        ["7503305044089", "SA ID 7503305044088"]
    ),
    identity!(
        "au_tfn",
        [],
        ["999999999", "999 999 999"],
        au_tfn,
        &[OF_TAXES, &["tfn", "taxfile", "taxfilenumber"]],
        ["TFN 123 456 782"],
        ["123 456 782", "TFN 123 456 783"]
    ),
    identity!(
        "au_medicare",
        [],
        ["9999 99999 9", "9999999999", "9999 99999 9-9", "99999999999"],
        au_medicare,
        &[
            OF_HEALTH,
            &["medicare", "medicareno", "medicarenumber", "medicarecard"]
        ],
        ["Medicare 2123 45670 1"],
        ["2123 45670 1", "Medicare 2123 45671 1"]
    ),
    identity!(
        "nz_ird",
        [],
        ["99999999", "999999999", "99-999-999", "999-999-999"],
        nz_ird,
        &[OF_TAXES, &["ird", "irdnumber"]],
        ["IRD 49-091-850", "ird number 136410132"],
        ["49-091-850", "IRD 49-091-851"]
    ),
];

/// A day of birth, citizenship, and Luhn's sum.
fn za_id(id: &[u8]) -> bool {
    let is_born = is_short_date(number(id, 0, 2), number(id, 2, 4), number(id, 4, 6));
    is_born && digit(id, 10) < 3 && luhn(id)
}

fn au_tfn(tfn: &[u8]) -> bool {
    number(tfn, 0, 9) > 0 && weighted(tfn, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn au_medicare(id: &[u8]) -> bool {
    matches!(digit(id, 0), 2..=6) && weighted(id, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(id, 8)
}

/// Eight digits count as nine with a 0 ahead; a second row of weights where the first leaves 10.
fn nz_ird(id: &[u8]) -> bool {
    let value = number(id, 0, id.len());
    let nine: Vec<u8> = format!("{value:09}").into_bytes();
    let check = |weights: &[u32]| (11 - weighted(&nine, weights) % 11) % 11;
    let expected = match check(&[3, 2, 7, 6, 5, 4, 3, 2]) {
        10 => check(&[7, 4, 3, 2, 5, 2, 7, 6]),
        expected => expected,
    };
    (10_000_000..150_000_000).contains(&value) && expected == digit(&nine, 8)
}
