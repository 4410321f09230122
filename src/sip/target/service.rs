//! The DNS records by which a domain names its servers, and the order of RFC 2782 among them.

/// A NAPTR record (RFC 3403 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest is processed first.
    pub order: u16,
    /// The lowest is preferred within one order.
    pub preference: u16,
    /// `s` for what leads to SRV records.
    pub flags: String,
    /// `SIP+D2U` and the like.
    pub service: String,
    /// Empty in the records that lead to SIP servers.
    pub regexp: String,
    /// The name to ask next.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share within one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, or `.` for a service that decidedly does not exist.
    pub target: String,
}

/// The servers in the order in which to try them (RFC 2782). `random` is any number.
pub fn ordered(records: Vec<Srv>, random: u64) -> Vec<Srv> {
    Random(random).order(records)
}

/// Random numbers from a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The servers in the order of RFC 2782: by priority, and by lot within one, where a weight
    /// is the chance to come first.
    pub(super) fn order(&mut self, mut records: Vec<Srv>) -> Vec<Srv> {
        records.sort_by_key(|record| (record.priority, record.weight));
        let mut ordered = Vec::with_capacity(records.len());
        while let Some(first) = records.first() {
            let priority = first.priority;
            let count = records.iter().take_while(|record| record.priority == priority).count();
            let total: u64 = records[..count].iter().map(|record| u64::from(record.weight)).sum();
            let lot = self.up_to(total);
            let mut sum = 0;
            let drawn = records[..count].iter().position(|record| {
                sum += u64::from(record.weight);
                sum >= lot
            });
            ordered.push(records.remove(drawn.unwrap_or(0)));
        }
        ordered
    }

    /// A number from 0 to `max`, both included.
    fn up_to(&mut self, max: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (max + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc2782_a_weight_is_the_chance_to_come_first() {
        let records: Vec<_> = [(0, "zero"), (10, "ten"), (30, "thirty")]
            .map(|(weight, target)| Srv { priority: 1, weight, port: 1, target: target.into() })
            .to_vec();
        let mut firsts = std::collections::BTreeMap::<String, u32>::new();
        for seed in 0..4000 {
            let ordered = Random(seed).order(records.clone());
            assert_eq!(ordered.len(), 3);
            *firsts.entry(ordered[0].target.clone()).or_default() += 1;
        }
        assert!((1..300).contains(&firsts["zero"]), "{firsts:?}");
        assert!((800..1200).contains(&firsts["ten"]), "{firsts:?}");
        assert!((2600..3200).contains(&firsts["thirty"]), "{firsts:?}");
    }

    #[test]
    fn rfc2782_a_lower_priority_always_comes_first() {
        let server = |priority, weight| Srv { priority, weight, port: 1, target: "x".into() };
        for seed in 0..100 {
            let records = vec![server(2, 60_000), server(1, 0), server(3, 9), server(1, 7)];
            let priorities: Vec<_> =
                Random(seed).order(records).iter().map(|record| record.priority).collect();
            assert_eq!(priorities, [1, 1, 2, 3]);
        }
    }
}
