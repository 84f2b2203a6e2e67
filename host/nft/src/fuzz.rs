//! The decoders' front door for fuzzing: any bytes, no panic. Pure.

use std::time::Duration;

use crate::{
    Batch, DataType, Element, Family, Name, Rule, Set, Table,
    read::{self, Messages},
    value,
};

/// Runs every decoder over the messages of a datagram, as it could come from a netlink socket.
pub fn datagram(bytes: &[u8]) {
    let op_with_elements = batch();
    for message in Messages::new(bytes).map_while(Result::ok) {
        if let Ok(answer) = read::answer(&message) {
            let offset = answer.offset.unwrap_or(0);
            for op in op_with_elements.ops() {
                let _ = read::culprit(op, bytes, offset, &[0, 1]);
            }
        }
        let Ok((_, attrs)) = message.body() else { continue };
        let _ = (read::chain(attrs), read::rule(attrs), read::set(attrs), read::flowtable(attrs));
        let _ = (read::generation(attrs, message.port), message.nft(), message.is_interrupted());
        let _ = read::ipset(attrs);
        for set in sets() {
            if let Ok(chunks) = read::elements(&set, attrs) {
                let _ = read::join_ranges(&set, chunks);
            }
        }
    }
    let _ = value::decode(&[DataType::Ipv4Addr, DataType::InetService], bytes);
}

fn sets() -> [Set; 4] {
    let name = Name::literal("s");
    let key = [DataType::Ipv4Addr, DataType::InetService];
    [
        Set::new(name.clone(), &key).timeout(Some(Duration::from_secs(1))),
        Set::map(name.clone(), &[DataType::Mark], &[DataType::Ifname]),
        Set::verdict_map(name.clone(), &[DataType::InetProto]),
        Set::new(name, &[DataType::Ipv4Addr]).interval(),
    ]
}

fn batch() -> Batch {
    let mut batch = Batch::new(Table { family: Family::Inet, name: Name::literal("t") });
    let [set, ..] = sets();
    batch.add_rule(&set.name.clone(), Rule::new().counter());
    batch.delete_elements(&set.into(), [Element::new([])]);
    batch
}
