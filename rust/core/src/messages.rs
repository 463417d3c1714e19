//! Decodes single messages (manual, "Message Formats"). Every function takes a whole message, header included, and
//! refuses anything behind the last field.

use crate::{ProtocolError, framing::HEADER, reader::Reader};

fn payload(raw: &[u8]) -> Reader<'_> {
    Reader::new(raw.get(HEADER..).unwrap_or_default())
}

/// Query: the text.
pub fn query(raw: &[u8]) -> Result<&[u8], ProtocolError> {
    let mut reader = payload(raw);
    let sql = reader.string()?;
    reader.end()?;
    Ok(sql)
}

/// A Parse.
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub sql: &'a [u8],
    pub types: Vec<u32>,
}

pub fn parse(raw: &[u8]) -> Result<Parse<'_>, ProtocolError> {
    let mut reader = payload(raw);
    let name = reader.string()?;
    let sql = reader.string()?;
    let types = (0..reader.count()?)
        .map(|_| reader.u32())
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(Parse { name, sql, types })
}

/// A Bind.
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    pub formats: Vec<i16>,
    pub values: Vec<Option<&'a [u8]>>,
    pub result_formats: Vec<i16>,
}

pub fn bind(raw: &[u8]) -> Result<Bind<'_>, ProtocolError> {
    let mut reader = payload(raw);
    let portal = reader.string()?;
    let statement = reader.string()?;
    let formats = (0..reader.count()?)
        .map(|_| reader.i16())
        .collect::<Result<_, _>>()?;
    // The manual says Int16; the server reads up to 65,535 parameters.
    let count = usize::from(reader.i16()?.cast_unsigned());
    let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
    let result_formats = (0..reader.count()?)
        .map(|_| reader.i16())
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(Bind {
        portal,
        statement,
        formats,
        values,
        result_formats,
    })
}

/// Describe and Close: `S` (statement) or `P` (portal), and the name.
pub fn describe(raw: &[u8]) -> Result<(u8, &[u8]), ProtocolError> {
    let mut reader = payload(raw);
    let kind = reader.u8()?;
    if !matches!(kind, b'S' | b'P') {
        return Err(ProtocolError::new("neither a statement nor a portal"));
    }
    let name = reader.string()?;
    reader.end()?;
    Ok((kind, name))
}

/// Execute: the portal and the most rows wanted (0: all).
pub fn execute(raw: &[u8]) -> Result<(&[u8], i32), ProtocolError> {
    let mut reader = payload(raw);
    let portal = reader.string()?;
    let rows = reader.i32()?;
    reader.end()?;
    Ok((portal, rows))
}

/// A FunctionCall.
pub struct FunctionCall<'a> {
    pub function_oid: u32,
    pub formats: Vec<i16>,
    pub values: Vec<Option<&'a [u8]>>,
    pub result_format: i16,
}

pub fn function_call(raw: &[u8]) -> Result<FunctionCall<'_>, ProtocolError> {
    let mut reader = payload(raw);
    let function_oid = reader.u32()?;
    let formats = (0..reader.count()?)
        .map(|_| reader.i16())
        .collect::<Result<_, _>>()?;
    let values = (0..reader.count()?)
        .map(|_| reader.value())
        .collect::<Result<_, _>>()?;
    let result_format = reader.i16()?;
    reader.end()?;
    Ok(FunctionCall {
        function_oid,
        formats,
        values,
        result_format,
    })
}

/// FunctionCallResponse: the value.
pub fn function_result(raw: &[u8]) -> Result<Option<&[u8]>, ProtocolError> {
    let mut reader = payload(raw);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

/// CopyOutResponse and its like: the overall format (1 is binary) and each column's.
pub fn copy_response(raw: &[u8]) -> Result<(u8, Vec<i16>), ProtocolError> {
    let mut reader = payload(raw);
    let format = reader.u8()?;
    let columns = (0..reader.count()?)
        .map(|_| reader.i16())
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok((format, columns))
}

/// One column of a RowDescription.
pub struct Column<'a> {
    pub name: &'a [u8],
    pub table_oid: u32,
    pub attribute: i16,
    pub type_oid: u32,
    pub type_length: i16,
    pub type_modifier: i32,
    pub format: i16,
}

pub fn row_description(raw: &[u8]) -> Result<Vec<Column<'_>>, ProtocolError> {
    let mut reader = payload(raw);
    let columns = (0..reader.count()?)
        .map(|_| {
            Ok(Column {
                name: reader.string()?,
                table_oid: reader.u32()?,
                attribute: reader.i16()?,
                type_oid: reader.u32()?,
                type_length: reader.i16()?,
                type_modifier: reader.i32()?,
                format: reader.i16()?,
            })
        })
        .collect::<Result<_, ProtocolError>>()?;
    reader.end()?;
    Ok(columns)
}

/// ErrorResponse and NoticeResponse: code letter and text, up to a NUL.
pub fn response_fields(raw: &[u8]) -> Result<Vec<(char, &[u8])>, ProtocolError> {
    let mut reader = payload(raw);
    let mut fields = Vec::new();
    loop {
        let code = reader.u8()?;
        if code == 0 {
            reader.end()?;
            return Ok(fields);
        }
        if !code.is_ascii_alphabetic() {
            return Err(ProtocolError::new("a response field without a letter"));
        }
        fields.push((char::from(code), reader.string()?));
    }
}

/// The values of one DataRow.
pub fn data_row(raw: &[u8]) -> Result<Vec<Option<&[u8]>>, ProtocolError> {
    let mut reader = payload(raw);
    let values = (0..reader.count()?)
        .map(|_| reader.value())
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(values)
}

/// The first `limit` rows of DataRow messages one behind the other.
pub fn data_rows(mut raw: &[u8], limit: usize) -> Result<Vec<Vec<Option<&[u8]>>>, ProtocolError> {
    let mut rows = Vec::new();
    while rows.len() < limit && !raw.is_empty() {
        let mut header = Reader::new(raw);
        header.u8()?;
        let whole = usize::try_from(header.u32()?)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let (row, rest) = raw
            .split_at_checked(whole)
            .ok_or_else(|| ProtocolError::new("a row runs past its buffer"))?;
        rows.push(data_row(row)?);
        raw = rest;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_with_bytes_behind_its_nul_is_refused() {
        assert_eq!(query(b"Q\0\0\0\x0dSELECT 1\0"), Ok(&b"SELECT 1"[..]));
        assert!(query(b"Q\0\0\0\x0dSELECT 1\0;DROP").is_err());
        assert!(query(b"Q\0\0\0\x0dSELECT 1").is_err());
    }

    #[test]
    fn a_value_with_a_negative_length_is_refused() {
        assert!(data_row(b"D\0\0\0\x0a\0\x01\xff\xff\xff\xfe").is_err());
        assert_eq!(
            data_row(b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff").unwrap(),
            vec![None]
        );
    }

    proptest! {
        #[test]
        fn no_decoder_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = query(&data);
            let _ = parse(&data);
            let _ = bind(&data);
            let _ = describe(&data);
            let _ = execute(&data);
            let _ = function_call(&data);
            let _ = function_result(&data);
            let _ = copy_response(&data);
            let _ = row_description(&data);
            let _ = response_fields(&data);
            let _ = data_rows(&data, 10);
        }
    }
}
