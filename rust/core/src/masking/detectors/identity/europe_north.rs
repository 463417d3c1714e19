//! The north, the middle and the east of Europe, and the British Isles.

use super::{OF_A_PERSON, OF_HEALTH, OF_TAXES, identity};
use crate::masking::detectors::{
    Detector,
    checksums::{digit, is_date, is_repeated, is_short_date, iso_11_10, luhn, modulo, number, weighted},
};

pub const DETECTORS: &[Detector] = &[
    identity!(
        "uk_nhs_number",
        [],
        ["9999999999", "999 999 9999", "999-999-9999"],
        uk_nhs_number,
        &[OF_A_PERSON, OF_HEALTH, &["nhs", "nhsnumber", "nhsno"]],
        ["NHS number 943 476 5870", "nhs_number=9434765870"],
        ["943 476 5870", "NHS number 943 476 5871"],
        ["phone"]
    ),
    identity!(
        "uk_nino",
        ["AA 99 99 99 A"],
        ["AA999999A", "AA 999999 A"],
        uk_nino,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["nino", "nationalinsurance", "nationalinsurancenumber", "ninumber"]
        ],
        ["AB 12 34 56 C", "NINO AB123456C"],
        ["AB123456C", "GB 12 34 56 C", "DA 12 34 56 C", "AB 12 34 56 E"]
    ),
    identity!(
        "ie_pps",
        [],
        ["9999999A", "9999999AA"],
        ie_pps,
        &[OF_A_PERSON, OF_TAXES, &["pps", "ppsn", "ppsnumber", "ppsno"]],
        ["PPS 6433435F", "ppsn: 6433435F"],
        ["6433435F", "PPS 6433435E"]
    ),
    identity!(
        "de_tax_id",
        [],
        ["99999999999", "99 999 999 999"],
        de_tax_id,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &[
                "steuerid",
                "steueridentifikationsnummer",
                "steueridnr",
                "idnr",
                "steuernummer",
                "identifikationsnummer"
            ]
        ],
        ["Steuer-ID 36574261809", "steuer_id: 36 574 261 809"],
        ["36574261809", "Steuer-ID 36574261808", "Steuer-ID 12345678901"]
    ),
    identity!(
        "nl_bsn",
        [],
        ["999999999", "9999.99.999", "9999 99 999"],
        nl_bsn,
        &[
            OF_A_PERSON,
            &["bsn", "burgerservicenummer", "sofinummer", "persoonsnummer"]
        ],
        ["BSN 111222333", "burgerservicenummer: 1112.22.333"],
        ["111222333", "BSN 111222334"]
    ),
    identity!(
        "be_national_number",
        ["99.99.99-999.99"],
        ["99999999999"],
        be_national_number,
        &[
            OF_A_PERSON,
            &[
                "rijksregisternummer",
                "rijksregister",
                "registrenational",
                "numéronational",
                "numeronational",
                "niss",
                "insz",
                "rrn",
                "nrn"
            ]
        ],
        ["85.07.30-033.28", "rijksregisternummer 85073003328"],
        ["85.07.30-033.29", "85073003328"]
    ),
    identity!(
        "at_svnr",
        [],
        ["9999 999999", "9999999999"],
        at_svnr,
        &[
            OF_A_PERSON,
            OF_HEALTH,
            &[
                "svnr",
                "sozialversicherungsnummer",
                "svnummer",
                "versicherungsnummer"
            ]
        ],
        ["SVNR 1237 010180"],
        ["1237 010180", "SVNR 1238 010180"]
    ),
    identity!(
        "ch_ahv",
        ["756.9999.9999.99", "7569999999999"],
        [],
        ch_ahv,
        &[],
        ["756.9217.0769.85", "7569217076985"],
        ["756.9217.0769.84", "7579217076985"]
    ),
    identity!(
        "se_personnummer",
        ["999999-9999", "99999999-9999", "999999+9999"],
        ["9999999999", "999999999999"],
        se_personnummer,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["personnummer", "personnr", "pnr", "samordningsnummer"]
        ],
        ["880320-0016", "19880320-0016", "personnummer 8803200016"],
        ["880320-0018", "8803200016", "881320-0016"],
        ["dk_cpr"]
    ),
    identity!(
        "no_fodselsnummer",
        ["99999999999", "999999 99999"],
        [],
        no_fodselsnummer,
        &[],
        ["15108695088", "151086 95088"],
        ["15108695077", "15138695088"]
    ),
    identity!(
        "dk_cpr",
        [],
        ["999999-9999", "9999999999"],
        dk_cpr,
        &[
            OF_A_PERSON,
            OF_HEALTH,
            &["cpr", "cprnummer", "cprnr", "personnummer"]
        ],
        ["CPR 211062-5629"],
        ["211062-5629", "CPR 321362-5629"]
    ),
    identity!(
        "fi_hetu",
        ["999999-999X", "999999+999X", "999999A999X"],
        [],
        fi_hetu,
        &[],
        ["131052-308T", "131052A308T"],
        ["131052-308U", "321052-308T", "131052G308T"]
    ),
    identity!(
        "is_kennitala",
        ["999999-9999"],
        ["9999999999"],
        is_kennitala,
        &[OF_A_PERSON, OF_TAXES, &["kennitala", "kt"]],
        ["120174-3399", "kennitala 1201743399"],
        ["120174-3389", "1201743399"]
    ),
    identity!(
        "baltic_personal_code",
        [],
        ["99999999999"],
        baltic_personal_code,
        &[
            OF_A_PERSON,
            OF_TAXES,
            &["isikukood", "asmenskodas", "personalcode"]
        ],
        ["isikukood 37605030299", "asmens kodas: 33309240064"],
        ["37605030299", "isikukood 37605030298", "isikukood 37613030299"]
    ),
    identity!(
        "lv_personal_code",
        [],
        ["999999-99999", "99999999999"],
        lv_personal_code,
        &[OF_A_PERSON, OF_TAXES, &["personaskods", "personalcode"]],
        ["personas kods 161175-19997"],
        ["161175-19997", "personas kods 161175-19998"]
    ),
    identity!(
        "pl_pesel",
        [],
        ["99999999999"],
        pl_pesel,
        &[OF_A_PERSON, OF_TAXES, &["pesel", "numerpesel"]],
        ["PESEL 44051401359"],
        ["44051401359", "PESEL 44051401358"]
    ),
    identity!(
        "cz_sk_birth_number",
        ["999999/9999"],
        ["9999999999"],
        cz_sk_birth_number,
        &[OF_A_PERSON, &["rodnéčíslo", "rodnecislo", "rč", "rc"]],
        ["710319/2745", "rodné číslo 7103192745"],
        ["710319/2746", "7103192745", "711319/2745"]
    ),
    identity!(
        "hu_taj",
        [],
        ["999999999", "999 999 999", "999-999-999"],
        hu_taj,
        &[OF_A_PERSON, OF_HEALTH, &["taj", "tajszám", "tajszam"]],
        ["TAJ 111 111 110"],
        ["111 111 110", "TAJ 111 111 112"]
    ),
];

fn uk_nhs_number(nhs: &[u8]) -> bool {
    let check = match 11 - weighted(nhs, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => 0,
        check => check,
    };
    check == digit(nhs, 9) && !is_repeated(nhs)
}

/// The prefixes that HMRC does not give out, and the suffixes that it does.
fn uk_nino(nino: &[u8]) -> bool {
    let Some((&[first, second], rest)) = nino.split_first_chunk::<2>() else {
        return false;
    };
    let is_given = !b"DFIQUV".contains(&first) && !b"DFIOQUV".contains(&second);
    let is_reserved = matches!(
        &[first, second],
        b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ"
    );
    is_given && !is_reserved && matches!(rest.last(), Some(b'A'..=b'D'))
}

/// Seven digits, a letter of a sum modulo 23, and since 2013 one more letter that counts in the sum.
fn ie_pps(pps: &[u8]) -> bool {
    let second = match pps.get(8) {
        None | Some(b'W') => 0,
        Some(letter @ b'A'..=b'I') => u32::from(letter - b'A') + 1,
        Some(_) => return false,
    };
    let sum = weighted(pps.get(..7).unwrap_or_default(), &[8, 7, 6, 5, 4, 3, 2]) + 9 * second;
    pps.get(7) == b"WABCDEFGHIJKLMNOPQRSTUV".get(sum as usize % 23)
}

/// One digit of the first ten is there two or three times, the others at most once; ISO/IEC 7064 MOD 11,10.
fn de_tax_id(id: &[u8]) -> bool {
    let ten = id.get(..10).unwrap_or_default();
    let times = |digit: u8| ten.iter().filter(|byte| **byte == digit).count();
    let often: Vec<usize> = (b'0'..=b'9').map(times).filter(|times| *times > 1).collect();
    digit(id, 0) != 0 && matches!(often[..], [2 | 3]) && iso_11_10(id)
}

/// The eleven test: weights 9 to 2, and the last digit counts against the others.
fn nl_bsn(bsn: &[u8]) -> bool {
    let sum = weighted(bsn, &[9, 8, 7, 6, 5, 4, 3, 2]);
    number(bsn, 0, 9) > 9_999_999 && sum % 11 == digit(bsn, 8)
}

/// What is missing to a multiple of 97; from 2000 on a 2 stands ahead. Months of bis numbers are 20 or 40 more.
fn be_national_number(id: &[u8]) -> bool {
    let (body, check) = (number(id, 0, 9), number(id, 9, 11));
    let is_born = number(id, 2, 4) % 20 <= 12 && number(id, 2, 4) < 53 && number(id, 4, 6) <= 31;
    is_born && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
}

fn at_svnr(id: &[u8]) -> bool {
    let sum = weighted(id, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    let is_born = is_short_date(number(id, 8, 10), number(id, 6, 8).min(12), number(id, 4, 6));
    digit(id, 0) != 0 && is_born && sum == digit(id, 3)
}

/// The sum of EAN-13, for the number begins with the country's code.
fn ch_ahv(id: &[u8]) -> bool {
    weighted(id, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Luhn's sum over the last ten; days of coordination numbers are 60 more.
fn se_personnummer(id: &[u8]) -> bool {
    let ten = id.get(id.len().saturating_sub(10)..).unwrap_or_default();
    let is_century = id.len() == 10 || matches!(number(id, 0, 2), 18..=20);
    let is_born = is_short_date(number(ten, 0, 2), number(ten, 2, 4), number(ten, 4, 6) % 60);
    is_century && is_born && luhn(ten)
}

/// Two check digits; days of D numbers are 40 more.
fn no_fodselsnummer(id: &[u8]) -> bool {
    let first = weighted(id, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]);
    let second = weighted(id, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
    let is_born = is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2) % 40);
    is_born && first.is_multiple_of(11) && second.is_multiple_of(11)
}

/// A day of birth; since 2007 the last digit checks nothing.
fn dk_cpr(id: &[u8]) -> bool {
    is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2))
}

/// A day of birth, a sign or letter of its century, and the letter of a remainder by 31.
fn fi_hetu(id: &[u8]) -> bool {
    let century = id.get(6).filter(|_| id.len() == 11);
    let is_century = century.is_none_or(|letter| matches!(letter, b'A'..=b'F' | b'U'..=b'Y'));
    let tail = id.get(id.len().saturating_sub(4)..).unwrap_or_default();
    let body = number(id, 0, 6) * 1000 + number(tail, 0, 3);
    let is_born = is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2));
    let expected = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get((body % 31) as usize);
    is_century && is_born && tail.get(3) == expected
}

/// Days of firms are 40 more; the last digit is the century's.
fn is_kennitala(id: &[u8]) -> bool {
    let sum = weighted(id, &[3, 2, 7, 6, 5, 4, 3, 2, 1]);
    let is_born = is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2) % 40);
    is_born && sum.is_multiple_of(11) && matches!(digit(id, 9), 0 | 8 | 9)
}

/// Estonia's and Lithuania's: sex and century, day of birth, and a second row of weights where the first leaves 10.
fn baltic_personal_code(id: &[u8]) -> bool {
    let sums = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 1], [3, 4, 5, 6, 7, 8, 9, 1, 2, 3]]
        .map(|weights| weighted(id, &weights) % 11);
    let check = sums.into_iter().find(|sum| *sum < 10).unwrap_or(0);
    let century = 17 + u64::from(digit(id, 0).div_ceil(2));
    let is_born = is_date(
        century * 100 + number(id, 1, 3),
        number(id, 3, 5),
        number(id, 5, 7),
    );
    matches!(digit(id, 0), 1..=8) && is_born && check == digit(id, 10)
}

/// A day of birth, or 32 ahead since 2017.
fn lv_personal_code(id: &[u8]) -> bool {
    let sum = 1101 - weighted(id, &[1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) as i64;
    let is_born = is_short_date(number(id, 4, 6), number(id, 2, 4), number(id, 0, 2));
    number(id, 0, 2) == 32 || (is_born && sum.rem_euclid(11) % 10 == i64::from(digit(id, 10)))
}

/// Months tell the century by 20, 40, 60 or 80 more.
fn pl_pesel(id: &[u8]) -> bool {
    let sum = weighted(id, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let is_born = is_short_date(number(id, 0, 2), number(id, 2, 4) % 20, number(id, 4, 6));
    is_born && sum.is_multiple_of(10)
}

/// A multiple of 11; months of women are 50 more, and 20 more where numbers ran out. Until 1985 a remainder of 10 was written 0.
fn cz_sk_birth_number(id: &[u8]) -> bool {
    let is_born = is_short_date(number(id, 0, 2), number(id, 2, 4) % 50 % 20, number(id, 4, 6));
    let is_old = modulo(id.get(..9).unwrap_or_default(), 11) == 10 && digit(id, 9) == 0;
    is_born && (modulo(id, 11) == 0 || is_old)
}

fn hu_taj(id: &[u8]) -> bool {
    number(id, 0, 9) > 0 && weighted(id, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == digit(id, 8)
}
