//! Numbers that states give to people, a file a part of the world.
//!
//! A form counts by itself where hardly anything else is written like it: less than one in a thousand of its kind by chance. Digits
//! alone, for which more holds their checks than that, need a word of context.

pub mod americas;
pub mod asia;
pub mod europe_north;
pub mod europe_south;
pub mod world;

use super::Detector;

/// Words for such a number of whatever country.
pub const OF_A_PERSON: &[&str] = &[
    "nationalid",
    "nationalidnumber",
    "nationalidentity",
    "nationalidentitynumber",
    "personalid",
    "personalidnumber",
    "personid",
    "personnumber",
    "identitynumber",
    "identificationnumber",
    "idnumber",
    "idcard",
    "idcardnumber",
    "citizenid",
    "governmentid",
    "govid",
    "ssn",
    "socialsecurity",
    "socialsecuritynumber",
    "nin",
];

/// Words for a number that taxes are paid under.
pub const OF_TAXES: &[&str] = &[
    "taxid",
    "taxidnumber",
    "taxnumber",
    "taxpayerid",
    "taxpayernumber",
    "taxpayeridentificationnumber",
    "tin",
    "vatid",
    "vatnumber",
    "fiscalcode",
    "fiscalnumber",
];

/// Words for what a health service or insurance knows a person by.
pub const OF_HEALTH: &[&str] = &[
    "healthid",
    "healthnumber",
    "healthinsurance",
    "healthinsurancenumber",
    "insurancenumber",
    "patientid",
];

/// All of them, in the table's order.
pub fn detectors() -> Vec<Detector> {
    [
        americas::DETECTORS,
        europe_north::DETECTORS,
        europe_south::DETECTORS,
        asia::DETECTORS,
        world::DETECTORS,
    ]
    .concat()
}

/// One entry: its forms by themselves and those that need context.
macro_rules! identity {
    ($name:literal, [$($strong:literal),*], [$($weak:literal),*], $check:expr, $context:expr, [$($good:literal),+], [$($bad:literal),+]) => {
        identity!($name, [$($strong),*], [$($weak),*], $check, $context, [$($good),+], [$($bad),+], [])
    };
    ($name:literal, [$($strong:literal),*], [$($weak:literal),*], $check:expr, $context:expr, [$($good:literal),+], [$($bad:literal),+], [$($also:literal),*]) => {
        $crate::masking::detectors::Detector {
            name: $name,
            group: "national_ids",
            forms: &[
                $crate::masking::detectors::Form::Layouts { layouts: &[$($strong),*], check: $check, is_weak: false },
                $crate::masking::detectors::Form::Layouts { layouts: &[$($weak),*], check: $check, is_weak: true },
            ],
            context: $context,
            sieves: &[],
            must_match: &[$($good),+],
            must_not_match: &[$($bad),+],
            also: &[$($also),*],
        }
    };
}
pub(super) use identity;
