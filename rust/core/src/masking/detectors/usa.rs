//! Identifiers of the United States.

use super::{
    Detector,
    checksums::{digit, number},
    identity::{OF_A_PERSON, OF_TAXES, identity},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "us_ssn",
        ["999-99-9999", "999 99 9999"],
        ["999999999"],
        us_ssn,
        &[OF_A_PERSON, &["socialsecurityno", "ssnumber", "ssno", "socsec"]],
        ["123-45-6789", "ssn 078 05 1120.", "SSN: 078051120"],
        [
            "000-12-3456",
            "666-12-3456",
            "123-00-4567",
            "123-45-0000",
            "9123-45-6789",
            "123-45 6789",
            "078051120"
        ]
    ),
    identity!(
        "us_itin",
        ["999-99-9999", "999 99 9999"],
        ["999999999"],
        us_itin,
        &[OF_TAXES, &["itin"]],
        ["912-70-1234", "ITIN 912701234"],
        ["912-69-1234", "812-70-1234", "912701234"]
    ),
];

/// The Social Security Administration never issued area 000, 666 or 9xx, group 00, serial 0000.
fn us_ssn(ssn: &[u8]) -> bool {
    let (area, group, serial) = (number(ssn, 0, 3), number(ssn, 3, 5), number(ssn, 5, 9));
    area != 0 && area != 666 && digit(ssn, 0) != 9 && group != 0 && serial != 0
}

/// Area 9xx, and the groups that the Internal Revenue Service gives out.
fn us_itin(itin: &[u8]) -> bool {
    digit(itin, 0) == 9 && matches!(number(itin, 3, 5), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}
