//! What is written reads back, and any bytes read without a panic. Without a kernel.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use crate::{
    Batch, Data, DataType, Element, Family, Ifname, Name, Op, Set, Table, Value, Verdict, fuzz,
    read::{self, Messages},
    value::{self, decode},
    wire,
};

fn any_value(of: DataType) -> BoxedStrategy<Value> {
    match of {
        DataType::Ipv4Addr => any::<u32>().prop_map(|bits| Value::Ipv4(bits.into())).boxed(),
        DataType::Ipv6Addr => any::<u128>().prop_map(|bits| Value::Ipv6(bits.into())).boxed(),
        DataType::InetProto => any::<u8>().prop_map(Value::Proto).boxed(),
        DataType::InetService => any::<u16>().prop_map(Value::Port).boxed(),
        DataType::Mark => any::<u32>().prop_map(Value::Mark).boxed(),
        DataType::Ifname => "[a-z][a-z0-9.]{0,14}"
            .prop_map(|name| Value::Ifname(Ifname::new(&name).unwrap()))
            .boxed(),
    }
}

fn any_types() -> impl Strategy<Value = Vec<DataType>> {
    let fits = |types: &Vec<DataType>| value::width(types) <= 64;
    prop::collection::vec(prop::sample::select(DataType::ALL.to_vec()), 1..=5)
        .prop_filter("64 bytes", fits)
}

fn any_values(types: &[DataType]) -> Vec<BoxedStrategy<Value>> {
    types.iter().copied().map(any_value).collect()
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    let chain = || "[a-z]{6,40}".prop_map(|name| Name::observed(&name));
    prop_oneof![
        Just(Verdict::Accept),
        Just(Verdict::Drop),
        Just(Verdict::Return),
        Just(Verdict::Continue),
        chain().prop_map(Verdict::Jump),
        chain().prop_map(Verdict::Goto),
    ]
}

/// A set, map or verdict map and elements of its types.
fn any_elements() -> impl Strategy<Value = (Set, Vec<Element>)> {
    (any_types(), any_types(), 0..3).prop_flat_map(|(key, data, kind)| {
        let name = Name::literal("elements-of-any-type");
        let set = match kind {
            0 => Set::new(name, &key),
            1 => Set::map(name, &key, &data),
            _ => Set::verdict_map(name, &key),
        };
        let data = match kind {
            0 => Just(Data::None).boxed(),
            1 => any_values(&data).prop_map(Data::Value).boxed(),
            _ => any_verdict().prop_map(Data::Verdict).boxed(),
        };
        let timeout = prop::option::of((1..1u64 << 40).prop_map(Duration::from_millis));
        let element = (any_values(&key), data, timeout, prop::option::of("[ -!#-\\[\\]-~]{1,127}"));
        let element = element.prop_map(|(key, data, timeout, comment)| Element {
            key,
            key_end: None,
            data,
            timeout,
            expires: None,
            comment,
        });
        (Just(set.timeout(None)), prop::collection::vec(element, 1..40))
    })
}

fn any_ranges() -> impl Strategy<Value = Vec<(u16, u16)>> {
    prop::collection::btree_set(any::<u16>(), 2..40).prop_map(|ports| {
        let ports: Vec<u16> = ports.into_iter().collect();
        ports.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    })
}

fn write_and_read(set: Set, elements: &[Element]) -> Vec<Element> {
    let table = Table { family: Family::Inet, name: Name::literal("weir") };
    let set = Arc::new(set);
    let mut batch = Batch::new(table);
    batch.push(Op::AddElements { set: Arc::clone(&set), elements: elements.to_vec() });
    let encoded = wire::encode(&batch, 7).unwrap();
    let mut chunks = Vec::new();
    for message in Messages::new(&encoded.bytes) {
        let message = message.unwrap();
        assert_eq!(
            i32::from(message.flags) & libc::NLM_F_ACK,
            0,
            "no acknowledgement is asked for"
        );
        if message.nft() == Some(libc::NFT_MSG_NEWSETELEM) {
            chunks.extend(read::elements(&set, message.body().unwrap().1).unwrap());
        }
    }
    read::join_ranges(&set, chunks).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values((types, values) in any_types().prop_flat_map(|types| (Just(types.clone()), any_values(&types)))) {
        prop_assert_eq!(decode(&types, &value::encode(&values)).unwrap(), values);
        prop_assert_eq!(value::from_type_id(value::type_id(&types)), Some(types));
    }

    #[test]
    fn elements((set, elements) in any_elements()) {
        let mut want = elements.clone();
        want.sort();
        prop_assert_eq!(write_and_read(set, &elements), want);
    }

    #[test]
    fn ranges(ports in any_ranges()) {
        let set = Set::new(Name::literal("ports"), &[DataType::InetService]).interval();
        let range = |(from, to): &(u16, u16)| Element::new([Value::Port(*from)]).to([Value::Port(*to)]);
        let elements: Vec<Element> = ports.iter().map(range).collect();
        prop_assert_eq!(write_and_read(set, &elements), elements);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::datagram(&bytes);
    }

    /// Bytes that are nearly right go deeper than random ones.
    #[test]
    fn nearly_a_message((set, elements) in any_elements(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut batch = Batch::new(Table { family: Family::Inet, name: Name::literal("weir") });
        batch.add_set(&Arc::new(set.clone())).push(Op::AddElements { set: Arc::new(set), elements });
        let mut bytes = wire::encode(&batch, 7).unwrap().bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fuzz::datagram(&bytes);
    }
}

/// The longest that an element can be, as often as an operation can have it.
#[test]
fn messages_stay_under_64_kib() {
    let key = [DataType::Ifname; 4];
    let link = Value::Ifname(Ifname::new("a23456789012345").unwrap());
    let chain = Name::new(&"c".repeat(255)).unwrap();
    let set = Arc::new(Set::verdict_map(Name::literal("links"), &key).timeout(None));
    let one = Element::verdict([link; 4], Verdict::Goto(chain))
        .comment("x".repeat(127))
        .timeout(Duration::from_secs(1));
    let mut batch = Batch::new(Table { family: Family::Inet, name: Name::literal("weir") });
    batch.add_elements(&set, vec![one; 3_000]);
    let encoded = wire::encode(&batch, 1).unwrap();
    let total: usize = encoded.spans.iter().map(|span| span.elements.len()).sum();
    assert_eq!(total, 3_000);
    assert!(encoded.spans.iter().all(|span| span.bytes.len() < 65_000));
}
