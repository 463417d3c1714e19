//! Keys and tokens that services give out, each by the prefix that its service gave it.

use super::{Detector, Form, Start, here, stands_alone};
use crate::masking::scan::{
    BEHIND_ANY, BEHIND_ASSIGNMENT, BEHIND_COLON, BEHIND_DASH, BEHIND_DOT, BEHIND_JOINT, BEHIND_OTHER,
    CAPITAL, DIGIT, OF_ANY, OF_DIGITS, OF_MIXED, SMALL, Spot,
};

const SMALLS: u8 = 1 << SMALL;
const CAPITALS: u8 = 1 << CAPITAL;
const SMALLS_AND_DIGITS: u8 = 1 << (SMALL | DIGIT);

/// A form by its pattern, and the first word of it: what it is made of, its lengths, and what stands behind it.
macro_rules! key {
    ($pattern:literal, $kinds:expr, $lengths:expr, $behind:expr) => {
        key!($pattern, $kinds, $lengths, $behind, here)
    };
    ($pattern:literal, $kinds:expr, $lengths:expr, $behind:expr, $locate:expr) => {
        Form::Pattern {
            pattern: $pattern,
            starts: &[Start::Word {
                kinds: $kinds,
                lengths: $lengths,
                behind: $behind,
                locate: $locate,
            }],
            check: stands_alone,
            is_weak: false,
        }
    };
}

/// An entry.
macro_rules! service {
    ($name:literal, [$($form:expr),+], [$($good:expr),+], [$($bad:expr),+]) => {
        Detector {
            name: $name,
            group: "secrets",
            forms: &[$($form),+],
            context: &[],
            sieves: &[],
            must_match: &[$($good),+],
            must_not_match: &[$($bad),+],
            also: &[],
        }
    };
}

// Examples are cut in two, so that no scanner of sources takes them for keys.
pub const DETECTORS: &[Detector] = &[
    service!(
        "gcp_key",
        [
            key!(r"AIza[A-Za-z0-9_-]{35}", OF_MIXED, (4, 39), BEHIND_ANY, google),
            key!(
                r"ya29\.[A-Za-z0-9_-]{20,512}",
                SMALLS_AND_DIGITS,
                (4, 4),
                BEHIND_DOT
            ),
            key!(r"GOCSPX-[A-Za-z0-9_-]{28}", CAPITALS, (6, 6), BEHIND_DASH)
        ],
        [
            concat!("AI", "zaSyA1234567890abcdefghijklmnopqrstuv"),
            concat!("GOC", "SPX-abcdefghij_klmnopqrstuvwx-12")
        ],
        ["AIzaSyA1234567890", "AIzaSyA1234567890abcdefghijklmnopqrstuvw"]
    ),
    service!(
        "azure_key",
        [
            key!(
                r"AccountKey=[A-Za-z0-9+/]{86}==",
                OF_MIXED,
                (10, 10),
                BEHIND_ASSIGNMENT
            ),
            key!(
                r"SharedAccessKey=[A-Za-z0-9+/]{43}=",
                OF_MIXED,
                (15, 15),
                BEHIND_ASSIGNMENT
            ),
            key!(
                r"sig=[A-Za-z0-9%/+]{43,63}(?:%3[Dd]|=)",
                SMALLS,
                (3, 3),
                BEHIND_ASSIGNMENT
            ),
            key!(
                r"[A-Za-z0-9_.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
                OF_ANY,
                (2, 5),
                BEHIND_OTHER,
                client_secret
            )
        ],
        [
            concat!(
                "Account",
                "Key=",
                "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLLMMMMNNNNOOOOPPPPQQQQRRRRSSSSTTTTUUUUVV=="
            ),
            concat!("abc8", "Q~", "abcdefghijklmnopqrstuvwxyz012345")
        ],
        ["AccountKey=abc==", "abc8Q~short"]
    ),
    service!(
        "github_token",
        [
            key!(r"gh[pousr]_[A-Za-z0-9]{36,255}", SMALLS, (3, 3), BEHIND_JOINT),
            key!(r"github_pat_[A-Za-z0-9_]{60,255}", SMALLS, (6, 6), BEHIND_JOINT)
        ],
        [
            concat!("gh", "p_abcdefghijklmnopqrstuvwxyz0123456789"),
            concat!(
                "github",
                "_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg"
            )
        ],
        [
            "ghp_abcdefghijklmnopqrstuvwxyz",
            "xghp_abcdefghijklmnopqrstuvwxyz0123456789"
        ]
    ),
    service!(
        "gitlab_token",
        [key!(
            r"gl(?:pat|dt|rt|ptt|agent|soat|ft|imt|oas|cbt|ffct)-[A-Za-z0-9_=.-]{20,255}",
            SMALLS,
            (4, 7),
            BEHIND_DASH
        )],
        [concat!("gl", "pat-abcdefghij_klmnopqrs")],
        ["glpat-short", "glue-abcdefghijklmnopqrstu"]
    ),
    service!(
        "slack_token",
        [
            key!(r"xox[abeoprs]-[A-Za-z0-9-]{10,255}", SMALLS, (4, 4), BEHIND_DASH),
            key!(r"xapp-[0-9]-[A-Za-z0-9-]{20,255}", SMALLS, (4, 4), BEHIND_DASH),
            key!(
                r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,128}",
                SMALLS,
                (5, 5),
                BEHIND_DOT
            )
        ],
        [
            concat!("xo", "xb-123456789012-abcdefghijkl"),
            concat!(
                "https://hooks.",
                "slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
            )
        ],
        ["xoxb-short", "hooks.slack.com/help"]
    ),
    service!(
        "stripe_key",
        [
            key!(
                r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,255}",
                SMALLS,
                (2, 2),
                BEHIND_JOINT
            ),
            key!(r"whsec_[A-Za-z0-9]{24,64}", SMALLS, (5, 5), BEHIND_JOINT)
        ],
        [
            concat!("sk", "_live_abcdefghijklmnop12345678"),
            concat!("wh", "sec_abcdefghijklmnopqrstuvwxyz012345")
        ],
        [
            "sk_live_short",
            "sk_prod_abcdefghijklmnop12345678",
            "pk_live_abcdefghijklmnop12345678"
        ]
    ),
    service!(
        "openai_key",
        [
            key!(
                r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,255}",
                SMALLS,
                (2, 2),
                BEHIND_DASH
            ),
            key!(
                r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
                SMALLS,
                (2, 2),
                BEHIND_DASH
            )
        ],
        [
            concat!("sk", "-proj-abcdefghij_klmnopqrstuvwx-12345"),
            concat!("sk", "-abcdefghijklmnopqrst", "T3Blb", "kFJabcdefghijklmnopqrst")
        ],
        ["sk-proj-short", "sk-abcdefghijklmnopqrstabcdefghijklmnopqrst"]
    ),
    service!(
        "anthropic_key",
        [key!(
            r"sk-ant-[A-Za-z0-9]{2,10}-[A-Za-z0-9_-]{20,255}",
            SMALLS,
            (2, 2),
            BEHIND_DASH
        )],
        [concat!("sk", "-ant-api03-abcdefghij_klmnopqrstuvwxyz-0123456789")],
        ["sk-ant-api03-short"]
    ),
    service!(
        "huggingface_token",
        [key!(r"hf_[A-Za-z0-9]{34,40}", SMALLS, (2, 2), BEHIND_JOINT)],
        [concat!("h", "f_abcdefghijklmnopqrstuvwxyzABCDEFGH")],
        ["hf_hub_download", "hf_abcdefghijklmnop"]
    ),
    service!(
        "npm_token",
        [key!(r"npm_[A-Za-z0-9]{36}", SMALLS, (3, 3), BEHIND_JOINT)],
        [concat!("np", "m_abcdefghijklmnopqrstuvwxyz0123456789")],
        ["npm_config_registry"]
    ),
    service!(
        "pypi_token",
        [key!(
            r"pypi-AgE[A-Za-z0-9_-]{50,512}",
            SMALLS,
            (4, 4),
            BEHIND_DASH
        )],
        [concat!(
            "py",
            "pi-AgEIcHlwaS5vcmcCJGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDEyMzQ1"
        )],
        ["pypi-AgEshort"]
    ),
    service!(
        "sendgrid_key",
        [key!(
            r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
            CAPITALS,
            (2, 2),
            BEHIND_DOT
        )],
        [concat!(
            "S",
            "G.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
        )],
        ["SG.abc.def"]
    ),
    service!(
        "digitalocean_token",
        [key!(r"do[opr]_v1_[a-f0-9]{64}", SMALLS, (3, 3), BEHIND_JOINT)],
        [concat!(
            "do",
            "p_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        )],
        ["dop_v1_0123"]
    ),
    service!(
        "shopify_token",
        [key!(
            r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
            SMALLS,
            (5, 5),
            BEHIND_JOINT
        )],
        [concat!("sh", "pat_0123456789abcdef0123456789ABCDEF")],
        ["shpat_0123"]
    ),
    service!(
        "databricks_token",
        [key!(
            r"dapi[a-f0-9]{32}(?:-[0-9])?",
            SMALLS_AND_DIGITS,
            (36, 36),
            BEHIND_ANY
        )],
        [concat!("da", "pi0123456789abcdef0123456789abcdef")],
        ["dapi0123456789abcdef"]
    ),
    service!(
        "vault_token",
        [key!(r"hv[bs]\.[A-Za-z0-9_-]{24,255}", SMALLS, (3, 3), BEHIND_DOT)],
        [concat!("h", "vs.abcdefghijklmnopqrstuvwxyz0123")],
        ["hvs.short"]
    ),
    service!(
        "telegram_token",
        [key!(
            r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
            OF_DIGITS,
            (8, 10),
            BEHIND_COLON
        )],
        [concat!("123456789:", "AAabcdefghijklmnopqrstuvwxyz0123456")],
        ["123456789:AAshort"]
    ),
];

fn google(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    text.get(spot.start..)?.starts_with(b"AIza").then_some(spot.start)
}

/// The first characters of a client's secret may be signs; `Q~` stands behind a digit.
fn client_secret(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let start = spot.end.checked_sub(5).filter(|start| *start >= from)?;
    let is_secret = text.get(spot.end) == Some(&b'~') && text.get(spot.end - 1) == Some(&b'Q');
    is_secret.then_some(start)
}
