//! Static libraries of one object, in the form that all linkers read (`ar` with a symbol table).

/// Bytes of a member's header.
const HEADER: usize = 60;

/// A library of one object that defines one symbol.
pub fn of(member: &str, object: &[u8], symbol: &str) -> Vec<u8> {
    // The symbol table: how many, where the members are (big-endian), the names.
    let mut table = 1u32.to_be_bytes().to_vec();
    let names = [symbol.as_bytes(), &[0]].concat();
    // Names of members longer than a header holds are in a table of their own.
    let long = format!("{member}/\n");
    let place = 8 + HEADER + padded(8 + names.len()) + HEADER + padded(long.len());
    table.extend((place as u32).to_be_bytes());
    table.extend(names);
    let mut archive = b"!<arch>\n".to_vec();
    add(&mut archive, "/", &table);
    add(&mut archive, "//", long.as_bytes());
    add(&mut archive, "/0", object);
    archive
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(2)
}

/// A member: name, date, owner, group, mode, size, each filled with spaces.
fn add(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len());
    archive.extend(header.as_bytes());
    archive.extend(bytes);
    archive.resize(padded(archive.len()), b'\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn members_are_where_the_table_says() {
        for (member, symbol) in [("a.o", "run"), ("a_name_beyond_sixteen_bytes.o", "odd")] {
            let archive = super::of(member, b"object", symbol);
            let place = u32::from_be_bytes(archive[72..76].try_into().unwrap()) as usize;
            assert!(archive[place..].starts_with(b"/0 "));
            assert!(archive[place + super::HEADER..].starts_with(b"object"));
        }
    }
}
