//! The order in which Python 2.7 walks a dictionary: 0.3.4 printed variables and files in it, and its commands still do.
//!
//! CPython 2.7's string hash (without `-R`) and open addressing, as documented in the comments of its
//! `Objects/dictobject.c` and `Objects/stringobject.c`.

/// The positions of `keys` in the order that a dictionary has after inserting them one by one. Keys must differ.
pub(crate) fn dict_order(keys: &[&str]) -> Vec<usize> {
    let hashes: Vec<u64> = keys.iter().map(|key| hash(key)).collect();
    let mut slots: Vec<Option<usize>> = vec![None; 8];
    for (used, position) in (1..).zip(0..keys.len()) {
        insert(&mut slots, &hashes, position);
        if used * 3 >= slots.len() * 2 {
            let wanted = used * if used > 50_000 { 2 } else { 4 };
            let size = std::iter::successors(Some(8), |size| Some(size * 2))
                .find(|size| *size > wanted)
                .unwrap_or(8);
            let old = std::mem::replace(&mut slots, vec![None; size]);
            old.into_iter()
                .flatten()
                .for_each(|position| insert(&mut slots, &hashes, position));
        }
    }
    slots.into_iter().flatten().collect()
}

fn insert(slots: &mut [Option<usize>], hashes: &[u64], position: usize) {
    let mask = slots.len() as u64 - 1;
    let (mut index, mut perturb) = (hashes[position], hashes[position]);
    while slots[(index & mask) as usize].is_some() {
        index = (index << 2).wrapping_add(index).wrapping_add(perturb).wrapping_add(1);
        perturb >>= 5;
    }
    slots[(index & mask) as usize] = Some(position);
}

/// The hash of a `str` or `unicode`: the same for the same text, as far as it is ASCII.
fn hash(text: &str) -> u64 {
    let Some(first) = text.chars().next() else { return 0 };
    let start = u64::from(u32::from(first)) << 7;
    let mixed = text
        .chars()
        .fold(start, |x, c| x.wrapping_mul(1_000_003) ^ u64::from(u32::from(c)));
    let hash = mixed ^ text.chars().count() as u64;
    // -1 means an error inside Python.
    if hash == u64::MAX { hash - 1 } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered<'k>(keys: &[&'k str]) -> Vec<&'k str> {
        dict_order(keys).into_iter().map(|position| keys[position]).collect()
    }

    #[test]
    fn hashes_are_pythons() {
        // python2.7 -c 'print hash("a"), hash("PASSWORD"), hash("")'
        assert_eq!(hash("a"), 12_416_037_344);
        assert_eq!(hash("PASSWORD") as i64, 1_884_668_433_633_898_971);
        assert_eq!(hash(""), 0);
    }

    #[test]
    fn the_order_is_pythons() {
        // python2.7 -c 'd = {}; [d.__setitem__(k, 1) for k in KEYS]; print list(d)'
        assert_eq!(ordered(&["MULTI", "DOLLAR", "TRAIL"]), ["TRAIL", "MULTI", "DOLLAR"]);
        assert_eq!(ordered(&["blob", "tls.pem"]), ["tls.pem", "blob"]);
    }

    #[test]
    fn the_order_is_pythons_after_the_dictionary_has_grown() {
        let keys: Vec<String> = (0..40).map(|number| format!("KEY_{number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let numbers: Vec<&str> = ordered(&keys).iter().map(|key| &key[4..]).collect();
        assert_eq!(
            numbers.join(" "),
            "33 32 39 15 14 17 16 11 10 13 12 37 36 35 34 19 18 31 30 20 21 22 23 24 25 26 27 28 29 38 5 4 7 6 1 0 3 2 9 8"
        );
    }

    #[test]
    fn nothing_is_lost_in_a_large_dictionary() {
        let keys: Vec<String> = (0..10_000).map(|number| format!("KEY_{number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut order = dict_order(&keys);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..keys.len()));
    }
}
