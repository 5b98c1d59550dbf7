//! A batch as a record of the log. Pure.
//!
//! ```text
//! record = (key-length value-length key value)*     lengths: u32, little-endian; value-length 0xffff_ffff: deleted
//! ```
//! Groups need no mark: a record is read back entirely or not at all, so the batch is atomic as a whole.

use bytes::{Buf, Bytes};

use super::super::{Batch, Write};

const DELETED: u32 = u32::MAX;

/// The record of a batch.
pub(super) fn encode(batch: &Batch) -> Bytes {
    let writes = batch.groups.iter().flatten();
    let mut bytes = Vec::with_capacity(batch.bytes() + 8 * batch.groups.iter().map(Vec::len).sum::<usize>());
    for Write { key, value } in writes {
        // both are limited far below 4 GiB (`Batch::check`)
        let length = |bytes: &Bytes| u32::try_from(bytes.len()).expect("keys and values are limited");
        bytes.extend_from_slice(&length(key).to_le_bytes());
        bytes.extend_from_slice(&value.as_ref().map_or(DELETED, length).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    bytes.into()
}

/// The batch of a record, as one group; nothing if it is none.
pub(super) fn decode(mut record: Bytes) -> Option<Batch> {
    let mut group = Vec::new();
    while !record.is_empty() {
        let (keys, values) = (record.try_get_u32_le().ok()?, record.try_get_u32_le().ok()?);
        let mut take = |length: u32| {
            let length = usize::try_from(length).ok()?;
            (length <= record.len()).then(|| record.split_to(length))
        };
        let key = take(keys)?;
        let value = if values == DELETED { None } else { Some(take(values)?) };
        group.push(Write { key, value });
    }
    Some(Batch::one(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_back_and_a_torn_record_does_not() {
        let batch = Batch { groups: vec![vec![Write::put("a", "1"), Write::delete("b")], vec![Write::put("c", "")]] };
        let record = encode(&batch);
        let flat = Batch::one(batch.groups.into_iter().flatten().collect());
        assert_eq!(decode(record.clone()), Some(flat));
        for cut in (0..record.len()).filter(|cut| ![0, 10, 19].contains(cut)) {
            assert_eq!(decode(record.slice(..cut)), None, "{cut}");
        }
    }
}
