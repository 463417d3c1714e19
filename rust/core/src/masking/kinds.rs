//! What a column's bytes are, by the type that a RowDescription names.

/// The types that have a form of their own under a mask or in a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same bytes in text and binary format.
    Text,
    /// `char(n)`: a text whose spaces at the end mean nothing.
    Padded,
    Xml,
    Json,
    /// In binary format a version byte 1 stands ahead of the text.
    Jsonb,
    Int2,
    Int4,
    Int8,
    Oid,
    Numeric,
    Float4,
    Float8,
    /// In binary format whole cents, or what the currency has in their place.
    Money,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    Bytea,
    Bits,
    /// Arrays, ranges, rows, enumerations, and types of users' own.
    Other,
}

/// Names, and the types' OIDs (`pg_type.dat`). Domains come as their base types.
const KINDS: &[(Kind, &str, &[u32])] = &[
    (Kind::Text, "text", &[19, 25, 705, 1043, 2275]),
    (Kind::Padded, "padded", &[1042]),
    (Kind::Xml, "xml", &[142]),
    (Kind::Json, "json", &[114]),
    (Kind::Jsonb, "jsonb", &[3802]),
    (Kind::Int2, "int2", &[21]),
    (Kind::Int4, "int4", &[23]),
    (Kind::Int8, "int8", &[20]),
    (Kind::Oid, "oid", &[26]),
    (Kind::Numeric, "numeric", &[1700]),
    (Kind::Float4, "float4", &[700]),
    (Kind::Float8, "float8", &[701]),
    (Kind::Money, "money", &[790]),
    (Kind::Uuid, "uuid", &[2950]),
    (Kind::Date, "date", &[1082]),
    (Kind::Time, "time", &[1083]),
    (Kind::Timestamp, "timestamp", &[1114]),
    (Kind::Timestamptz, "timestamptz", &[1184]),
    (Kind::Inet, "inet", &[869]),
    (Kind::Cidr, "cidr", &[650]),
    (Kind::Macaddr, "macaddr", &[829]),
    (Kind::Macaddr8, "macaddr8", &[774]),
    (Kind::Bytea, "bytea", &[17]),
    (Kind::Bits, "bits", &[1560, 1562]),
    (Kind::Other, "other", &[]),
];

impl Kind {
    /// Every kind by its name.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        KINDS.iter().map(|(kind, name, _)| (*kind, *name))
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| kind)
    }

    pub fn of_type(oid: u32) -> Self {
        let found = KINDS.iter().find(|(_, _, oids)| oids.contains(&oid));
        found.map_or(Self::Other, |(kind, ..)| *kind)
    }

    pub fn name(self) -> &'static str {
        Self::all()
            .find(|(kind, _)| *kind == self)
            .map_or("other", |(_, name)| name)
    }
}
