//! How people and machines are reached.

use super::{
    Detector, Form, Hit, Start, as_proposed, behind, byte_before,
    checksums::{is_date, is_short_date, number},
    here, stands_alone, word_after, word_before,
};
use crate::masking::{
    scan::{
        BEHIND_ANY, BEHIND_COLON, BEHIND_DASH, BEHIND_DOT, BEHIND_JOINT, BEHIND_OTHER, BEHIND_SPACE, CAPITAL,
        DIGIT, OF_ANY, OF_BOTH, OF_DIGITS, OF_LETTERS, SMALL, Spot,
    },
    sieve,
};

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "email",
        group: "contact",
        forms: &[Form::Pattern {
            pattern: r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}",
            starts: &[Start::Byte(b'@', name_of_address)],
            check: as_proposed,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::email],
        must_match: &["ana.b+x@example.co.uk", "<o'neil@mail.example>"],
        must_not_match: &["user@localhost", "a @ b.com", "@handle"],
        also: &[],
    },
    Detector {
        name: "phone",
        group: "contact",
        forms: &[
            Form::Pattern {
                pattern: r"\+[1-9][0-9]{0,2}(?:[ .()-]{0,2}[0-9]){6,12}",
                starts: &[Start::Byte(b'+', plus_and_digits)],
                check: stands_alone,
                is_weak: false,
            },
            Form::Pattern {
                pattern: r"\(?[2-9][0-9]{2}(?:\) ?|[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
                starts: &[
                    Start::Byte(b'(', here),
                    Start::Word {
                        kinds: OF_DIGITS,
                        lengths: (3, 3),
                        behind: BEHIND_SPACE | BEHIND_DOT | BEHIND_DASH | BEHIND_JOINT,
                        locate: here,
                    },
                ],
                check: stands_alone,
                is_weak: false,
            },
            Form::Pattern {
                pattern: r"\(?[0-9]{2,5}\)?(?:[ ./-]?[0-9]{2,8}){1,5}",
                starts: &[
                    Start::Byte(b'(', here),
                    Start::Word {
                        kinds: OF_DIGITS,
                        lengths: (2, 12),
                        behind: BEHIND_ANY,
                        locate: here,
                    },
                ],
                check: national_phone,
                is_weak: true,
            },
        ],
        context: &[PHONE],
        sieves: &[],
        must_match: &[
            "+49 30 901820",
            "+1 (415) 555-2671",
            "(415) 555-2671",
            "415-555-2671",
            "phone: 4155552671",
            "tel. 030 901820 11",
            "Téléphone 06 12 34 56 78",
            "mobile 07700 900123",
            "手机 13812345678",
        ],
        must_not_match: &[
            "4155552671",
            "2024-01-15 10:20:30",
            "phone 2024-01-15 10:20:30",
            "1.2.3.4567",
            "a415-555-2671",
            "called 12345 times",
        ],
        also: &[],
    },
    Detector {
        name: "ipv4",
        group: "contact",
        forms: &[Form::Pattern {
            pattern: r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}",
            starts: &[Start::Word {
                kinds: OF_DIGITS,
                lengths: (1, 3),
                behind: BEHIND_DOT,
                locate: here,
            }],
            check: ipv4,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &["192.168.0.1", "from 10.0.0.255:5432", "http://10.0.0.255/"],
        must_not_match: &[
            "192.168.0.256",
            "1.2.3",
            "1.2.3.4.5",
            "version 1.2.3.4",
            "v1.2.3.4",
            "rv:1.9.2.20",
            "01.2.3.4",
        ],
        also: &[],
    },
    Detector {
        name: "ipv6",
        group: "contact",
        forms: &[Form::Pattern {
            pattern: r"[0-9A-Fa-f:]{2,39}(?:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})?",
            starts: &[
                Start::Word {
                    kinds: OF_ANY,
                    lengths: (1, 4),
                    behind: BEHIND_COLON,
                    locate: here,
                },
                Start::Byte(b':', two_colons),
            ],
            check: ipv6,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "2001:db8::1",
            "[fe80::1ff:fe23:4567:890a]",
            "client:80d1:71be:6873:a61a:c67f:42ba:7473:1276",
            "2001:0db8:0000:0000:0000:ff00:0042:8329",
        ],
        must_not_match: &[
            "10:20:30",
            "std::vector",
            "12:34:56:78:9a:bc",
            "12:34:56:78:9a:bc:de:f0",
            "1:2",
            "::",
            "a::b",
        ],
        also: &[],
    },
    Detector {
        name: "mac_address",
        group: "contact",
        forms: &[Form::Pattern {
            pattern: r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
            starts: &[Start::Word {
                kinds: OF_ANY,
                lengths: (2, 4),
                behind: BEHIND_COLON | BEHIND_DASH | BEHIND_DOT,
                locate: here,
            }],
            check: mac_address,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "00:1A:2b:3c:4d:5e",
            "00-1A-2B-3C-4D-5E",
            "001a.2b3c.4d5e",
            "MAC:00:1a:2b:3c:4d:5e",
        ],
        must_not_match: &[
            "00:1A:2b:3c:4d",
            "00:1G:2b:3c:4d:5e",
            "00:00:00:00:00:00",
            "c4:f9:f5:bd:f6:d5:9d:f7",
        ],
        also: &[],
    },
    Detector {
        name: "street_address",
        group: "contact",
        forms: &[
            Form::Pattern {
                pattern: r"[0-9]{1,5}[A-Za-z]?,?(?: [A-Za-z\x80-\xff'.-]{1,20}){0,4} (?i:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|highway|hwy|parkway|pkwy|terrace|way|place|pl|rue|calle|via|rua|avenida|strada)\b\.?(?: [A-Za-z\x80-\xff'.-]{1,20}){0,4}",
                starts: &[Start::Word {
                    kinds: OF_DIGITS | OF_BOTH,
                    lengths: (1, 6),
                    behind: BEHIND_SPACE | BEHIND_OTHER,
                    locate: here,
                }],
                check: street_address,
                is_weak: true,
            },
            Form::Pattern {
                // a number and names in capitals: 858 Hannah Summit Suite 899
                pattern: r"[0-9]{1,5}[A-Za-z]?,?(?: [A-Z\xc3-\xd9][A-Za-z\x80-\xff'.-]{0,24}){2,5}(?: [0-9]{1,5}[A-Za-z]?)?",
                starts: &[Start::Word {
                    kinds: OF_DIGITS | OF_BOTH,
                    lengths: (1, 6),
                    behind: BEHIND_SPACE | BEHIND_OTHER,
                    locate: here,
                }],
                check: street_address,
                is_weak: true,
            },
            Form::Pattern {
                // a kind of street, a name and a number: Calle Mayor, 8
                pattern: r"[A-Za-z]{2,9}\.?(?: [A-Za-z\x80-\xff'.-]{1,24}){1,5}?,? [0-9]{1,5}(?:[A-Za-z]|[/-][0-9]{1,4})?",
                starts: &[Start::Word {
                    kinds: OF_LETTERS,
                    lengths: (2, 9),
                    behind: BEHIND_SPACE | BEHIND_DOT,
                    locate: kind_of_street,
                }],
                check: street_of_kind,
                is_weak: true,
            },
        ],
        context: &[STREET],
        sieves: &[],
        must_match: &[
            "Address: 221B Baker Street",
            "shipping address 12 rue de la Paix",
            "Street address: 858 Hannah Summit Suite 899",
            "Dirección: Calle Mayor, 8",
        ],
        must_not_match: &["221B Baker Street", "address 42 in the memory", "address 4 bytes"],
        also: &[],
    },
    Detector {
        name: "date_of_birth",
        group: "contact",
        forms: &[
            Form::Layouts {
                layouts: &[
                    "9999-99-99",
                    "9999/99/99",
                    "9999.99.99",
                    "99/99/9999",
                    "99.99.9999",
                    "99-99-9999",
                    "9/99/9999",
                    "99/9/9999",
                    "9/9/9999",
                    "9.9.9999",
                    "99.9.9999",
                    "9.99.9999",
                    "99/99/99",
                    "99.99.99",
                    "99999999",
                ],
                check: date_of_birth,
                is_weak: true,
            },
            Form::Pattern {
                // 1981年3月2日, and the same in Korean
                pattern: r"[12][0-9]{3}(?:\xe5\xb9\xb4|\xeb\x85\x84 ?)[0-9]{1,2}(?:\xe6\x9c\x88|\xec\x9b\x94 ?)[0-9]{1,2}(?:\xe6\x97\xa5|\xec\x9d\xbc)",
                starts: &[Start::Word {
                    kinds: OF_DIGITS,
                    lengths: (4, 4),
                    behind: BEHIND_ANY,
                    locate: here,
                }],
                check: stands_alone,
                is_weak: true,
            },
            Form::Pattern {
                pattern: r"[0-9]{1,2}(?:st|nd|rd|th|\.)? (?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?,? [12][0-9]{3}",
                starts: &[Start::Word {
                    kinds: OF_DIGITS
                        | 1 << (SMALL | DIGIT)
                        | 1 << (CAPITAL | DIGIT)
                        | 1 << (SMALL | CAPITAL | DIGIT),
                    lengths: (1, 4),
                    behind: BEHIND_SPACE | BEHIND_DOT,
                    locate: here,
                }],
                check: stands_alone,
                is_weak: true,
            },
            Form::Pattern {
                pattern: r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [12][0-9]{3}",
                starts: &[Start::Word {
                    kinds: OF_LETTERS,
                    lengths: (3, 9),
                    behind: BEHIND_SPACE | BEHIND_DOT,
                    locate: month,
                }],
                check: stands_alone,
                is_weak: true,
            },
        ],
        context: &[BIRTH],
        sieves: &[],
        must_match: &[
            "DOB: 1985-03-12",
            "date of birth 3/12/1985",
            "geboren am 12.03.1985",
            "born on March 12, 1985",
            "birthday 12th March 1985",
            "生年月日 1985年3月12日",
        ],
        must_not_match: &["1985-03-12", "dob 1985-13-12", "born 12/2024"],
        also: &[],
    },
];

const PHONE: &[&str] = &[
    "phone",
    "phones",
    "phonenumber",
    "phoneno",
    "telephone",
    "telephonenumber",
    "tel",
    "telno",
    "mobile",
    "mobileno",
    "mobilenumber",
    "mob",
    "cell",
    "cellphone",
    "cellular",
    "fax",
    "call",
    "whatsapp",
    "sms",
    "telefon",
    "telefonnummer",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "rufnummer",
    "téléphone",
    "tél",
    "komórka",
    "komorka",
    "portable",
    "teléfono",
    "telefono",
    "móvil",
    "movil",
    "celular",
    "telefone",
    "telemóvel",
    "cellulare",
    "telefoon",
    "mobiel",
    "телефон",
    "тел",
    "手机",
    "手机号",
    "电话",
    "電話",
    "電話番号",
    "携帯",
    "전화",
    "전화번호",
    "휴대폰",
    "फोन",
];

const STREET: &[&str] = &[
    "address",
    "addresses",
    "addr",
    "streetaddress",
    "street",
    "residence",
    "shipping",
    "shipto",
    "billing",
    "billto",
    "delivery",
    "mailing",
    "home",
    "lives",
    "living",
    "resides",
    "residing",
    "livesat",
    "adresse",
    "anschrift",
    "wohnhaft",
    "dirección",
    "direccion",
    "domicilio",
    "domicile",
    "indirizzo",
    "endereço",
    "adres",
    "zamieszkania",
    "residenza",
    "morada",
    "adress",
    "gatuadress",
    "woonadres",
    "livraison",
];

const STREET_KINDS: &[&[u8]] = &[
    b"rue",
    b"avenue",
    b"av",
    b"avda",
    b"boulevard",
    b"place",
    b"impasse",
    b"chemin",
    b"calle",
    b"avenida",
    b"paseo",
    b"plaza",
    b"camino",
    b"via",
    b"viale",
    b"vicolo",
    b"piazza",
    b"corso",
    b"strada",
    b"largo",
    b"contrada",
    b"borgo",
    b"rua",
    b"travessa",
    b"alameda",
    b"ul",
    b"ulica",
    b"al",
    b"aleja",
    b"aleje",
    b"plac",
    b"pl",
    b"osiedle",
];

const BIRTH: &[&str] = &[
    "dob",
    "dateofbirth",
    "birth",
    "birthdate",
    "birthday",
    "birthdate",
    "born",
    "bornon",
    "bday",
    "geboren",
    "geborenam",
    "geburtsdatum",
    "geburtstag",
    "naissance",
    "datedenaissance",
    "né",
    "née",
    "néle",
    "nacimiento",
    "fechadenacimiento",
    "nacido",
    "nascita",
    "datadinascita",
    "nascimento",
    "datadenascimento",
    "geboortedatum",
    "födelsedatum",
    "fødselsdato",
    "syntymäaika",
    "dataurodzenia",
    "datumnarození",
    "narozen",
    "narozena",
    "датарождения",
    "出生日期",
    "生日",
    "生年月日",
    "생년월일",
];

/// The beginning of the name ahead of an `@` that a domain may follow.
fn name_of_address(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let name = text.get(from..spot.start)?.iter().rev().take(64);
    let length = name.take_while(|&&byte| sieve::is_of_name(byte)).count();
    let is_address = length > 0 && sieve::begins_with_domain(behind(text, spot));
    is_address.then_some(spot.start - length)
}

/// A plus with a digit behind it that begins a country's code.
fn plus_and_digits(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let first = behind(text, spot).first()?;
    matches!(first, b'1'..=b'9').then_some(spot.start)
}

/// Digits as the commonest national formats have them: North America, the United Kingdom, Germany, France, Italy, Spain, Brazil, India,
/// Japan, China; and whoever else writes a 0 ahead of an area.
fn national_phone(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let written = text.get(start..end)?;
    let digits: Vec<u8> = written.iter().copied().filter(u8::is_ascii_digit).collect();
    let is_known = matches!(
        (digits.len(), &digits[..]),
        (9..=12, [b'0', b'1'..=b'9', ..])
            | (9, [b'1'..=b'9', ..])
            | (
                10,
                [b'2'..=b'9', _, _, b'2'..=b'9', ..] | [b'3' | b'6'..=b'9', ..]
            )
            | (10, [b'1'..=b'9', b'1'..=b'9', b'2'..=b'5', ..])
            | (11, [b'1', b'2'..=b'9', ..] | [b'1'..=b'9', b'1'..=b'9', b'9', ..])
    );
    let is_date = matches!(
        written,
        [
            b'1' | b'2',
            _,
            _,
            _,
            b'-' | b'/' | b'.',
            _,
            _,
            b'-' | b'/' | b'.',
            ..
        ]
    );
    stands_alone(text, start, end).filter(|_| is_known && !is_date)
}

/// Four numbers up to 255 without zeros ahead, not more of them, and not a version.
fn ipv4(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let written = std::str::from_utf8(text.get(start..end)?).ok()?;
    written.parse::<std::net::Ipv4Addr>().ok()?;
    let goes_on = text.get(end) == Some(&b'.') && super::is_digit_at(text, end + 1);
    let began_before = matches!(byte_before(text, start), Some(b'.' | b'-' | b'_'));
    stands_alone(text, start, end).filter(|_| !goes_on && !began_before && !is_version(text, start))
}

fn is_version(text: &[u8], start: usize) -> bool {
    let before = text
        .get(start.saturating_sub(12)..start)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let word = before.trim_ascii_end();
    [
        &b"version"[..],
        b"version:",
        b"version=",
        b"rv:",
        b"firmware",
        b"release",
        b"ver.",
        b"ver",
        b"build",
        b"/",
    ]
    .iter()
    .any(|end| word.ends_with(end) && !word.ends_with(b"//"))
}

/// A colon stands before, and it is no word's: `ip:2001:db8::1` begins behind it.
fn is_group_ahead(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    let Some((b':', before)) = before.split_last() else {
        return false;
    };
    let group: Vec<&u8> = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .collect();
    group.is_empty() || group.iter().all(|byte| byte.is_ascii_hexdigit())
}

fn two_colons(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    (behind(text, spot).first() == Some(&b':')).then_some(spot.start)
}

/// Any spelling of RFC 4291, section 2.2, with a digit in it and as long as chance hardly writes it.
fn ipv6(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    if word_before(text, start) || byte_before(text, start) == Some(b'.') || is_group_ahead(text, start) {
        return None;
    }
    let written = std::str::from_utf8(text.get(start..end)?).ok()?;
    let written = if written.ends_with("::") {
        written
    } else {
        written.trim_end_matches(':')
    };
    written.parse::<std::net::Ipv6Addr>().ok()?;
    let end = start + written.len();
    let are_octets = written.split(':').all(|group| group.len() == 2);
    let is_told = written.len() > 6 && !are_octets && written.bytes().any(|byte| byte.is_ascii_digit());
    (is_told && !word_after(text, end)).then_some(Hit { start, end })
}

/// Six octets and no more, as a fingerprint has, which are not all the same.
fn mac_address(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let octets = || {
        text.get(start..end)
            .unwrap_or_default()
            .iter()
            .filter(|byte| byte.is_ascii_hexdigit())
    };
    let first = octets().next();
    let is_more = is_octet_ahead(text, start) || is_octet_behind(text, end);
    let is_address = !is_more && octets().any(|byte| Some(byte) != first);
    stands_alone(text, start, end).filter(|_| is_address)
}

fn is_octet_ahead(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    matches!(before, [.., a, b, b':' | b'-'] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        && !word_before(text, start.saturating_sub(3))
}

fn is_octet_behind(text: &[u8], end: usize) -> bool {
    let behind = text.get(end..).unwrap_or_default();
    matches!(behind, [b':' | b'-', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// It begins with a number and its first word is none of a unit's.
fn street_address(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    stands_alone(text, start, end)
}

fn street_of_kind(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let first = text
        .get(start..end)?
        .split(|byte| !byte.is_ascii_alphabetic())
        .next()?;
    let is_kind = STREET_KINDS.contains(&first.to_ascii_lowercase().as_slice());
    stands_alone(text, start, end).filter(|_| is_kind)
}

/// A word that names of streets begin with.
fn kind_of_street(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let word = super::word(text, spot).to_ascii_lowercase();
    STREET_KINDS.contains(&word.as_slice()).then_some(spot.start)
}

fn month(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
    ];
    let name = text.get(spot.start..spot.start + 3)?;
    MONTHS
        .iter()
        .any(|month| name.eq_ignore_ascii_case(*month))
        .then_some(spot.start)
}

/// A day of the last two centuries, whichever part comes first.
fn date_of_birth(date: &[u8]) -> bool {
    let (first, last) = (
        number(date, 0, 4),
        number(date, date.len().saturating_sub(4), date.len()),
    );
    let is_year = |year| (1850..2100).contains(&year);
    match date.len() {
        8 => {
            (is_year(first) && is_date(first, number(date, 4, 6), number(date, 6, 8)))
                || (is_year(last)
                    && (is_date(last, number(date, 2, 4), number(date, 0, 2))
                        || is_date(last, number(date, 0, 2), number(date, 2, 4))))
        }
        6 if date.starts_with(b"0") || number(date, 2, 4) <= 12 => {
            is_short_date(number(date, 4, 6), number(date, 2, 4), number(date, 0, 2))
                || is_short_date(number(date, 4, 6), number(date, 0, 2), number(date, 2, 4))
                || is_year(last)
        }
        _ => is_year(last) || is_short_date(number(date, 4, 6), number(date, 0, 2), number(date, 2, 4)),
    }
}
