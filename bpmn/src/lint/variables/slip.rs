//! Whether one name is another with a slip of the pen: one letter more, less, other or exchanged with its neighbour, or other capitals.
//!
//! Names that people tell apart by one letter on purpose are none: `item` and `items`, `part1` and `part2`, `routeA` and `routeB`.

/// Words shorter than this are too often one letter apart by chance.
const SHORTEST: usize = 5;
/// Longer names are not compared.
const LONGEST: usize = 64;

/// Words that two names have in common if one may be the other with a slip: each without one of its letters, and as it stands, all in
/// small letters.
pub(super) fn keys(name: &str) -> Vec<String> {
    let letters = folded(name);
    if letters.len() > LONGEST || letters.is_empty() {
        return Vec::new();
    }
    let without = |at: usize| letters[..at].iter().chain(&letters[at + 1..]).collect();
    let mut keys: Vec<String> = (0..letters.len()).map(without).collect();
    keys.push(letters.iter().collect());
    keys.sort();
    keys.dedup();
    keys
}

fn folded(name: &str) -> Vec<char> {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Whether `a` may be `b` with a slip.
pub(super) fn close(a: &str, b: &str) -> bool {
    if a == b || a.len() > 4 * LONGEST || b.len() > 4 * LONGEST {
        return false;
    }
    let (short, long) = (folded(a), folded(b));
    if short == long {
        return true;
    }
    let (short, long) = if short.len() <= long.len() { (short, long) } else { (long, short) };
    if short.len() < SHORTEST {
        return false;
    }
    let same = short.iter().zip(&long).take_while(|(a, b)| a == b).count();
    let (left, right) = (&short[same..], &long[same..]);
    let telling = |it: &char| it.is_ascii_digit() || *it == '_';
    match (left, right) {
        // one letter more
        (left, [extra, rest @ ..]) if left == rest => {
            let plural = rest.is_empty() && (*extra == 's' || short.len() == SHORTEST);
            !telling(extra) && !plural && same > 0
        }
        // two exchanged
        ([a, b, left @ ..], [c, d, right @ ..]) if a == d && b == c && left == right => !telling(a) && !telling(b),
        // another letter, not at either end, where it tells names of a series apart
        ([a, left @ ..], [b, right @ ..]) if left == right => {
            !telling(a) && !telling(b) && same > 0 && !left.is_empty() && short.len() > SHORTEST
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_close() {
        let pairs = [
            ("customer", "custmer"),
            ("customer", "cutsomer"),
            ("customer", "custoner"),
            ("customerId", "customerID"),
            ("amount", "amuont"),
            ("amount", "ammount"),
        ];
        for (a, b) in pairs {
            assert!(close(a, b) && close(b, a), "{a} {b}");
            assert!(keys(a).iter().any(|it| keys(b).contains(it)), "{a} {b}");
        }
    }

    #[test]
    fn names_of_a_series_are_not() {
        let pairs = [
            ("item", "items"),
            ("order", "orders"),
            ("part1", "part2"),
            ("routeA", "routeB"),
            ("rate", "date"),
            ("amount", "mount"),
            ("order", "order2"),
            ("price", "prices"),
            ("customer", "customers"),
            ("customer", "customer"),
            ("", "x"),
        ];
        for (a, b) in pairs {
            assert!(!close(a, b) && !close(b, a), "{a} {b}");
        }
    }
}
