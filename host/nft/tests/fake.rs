//! The fake against the kernel: random batches are refused alike and leave the same table.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod netns;

use std::{cell::Cell, sync::Arc};

use netns::{isolated, weir};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use weir_nft::{
    ApplyError, Base, Batch, Chain, ChainType, DataType, Element, FakeNft, Field, Hook, Name,
    Nftables, Op, Policy, Rule, Set, Socket, TableState, Value, Verdict,
};

/// Verdicts lead from a chain to later ones only: what a loop answers the fake doesn't know.
const CHAINS: [&str; 4] = ["base", "c1", "c2", "c3"];

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn chain(index: usize, policy: Policy) -> Chain {
    let base = Base { kind: ChainType::Filter, hook: Hook::Input, priority: 0, policy };
    Chain { base: (index == 0).then_some(base), ..Chain::regular(name(CHAINS[index])) }
}

fn sets() -> [Arc<Set>; 5] {
    let key = [DataType::InetService];
    [
        Set::new(name("plain"), &key),
        Set::map(name("pairs"), &key, &[DataType::Mark]),
        Set::verdict_map(name("verdicts"), &key),
        Set::new(name("ranges"), &key).interval(),
        // As "plain", but of another shape: only one of them can be there.
        Set::new(name("plain"), &[DataType::InetService, DataType::Mark]),
    ]
    .map(Arc::new)
}

fn any_element(set: usize) -> BoxedStrategy<Element> {
    let key = (1..6u16).prop_map(|port| [Value::Port(port)]);
    match set {
        1 => {
            (key, 1..3u32).prop_map(|(key, mark)| Element::value(key, [Value::Mark(mark)])).boxed()
        }
        2 => (key, 0..4usize)
            .prop_map(|(key, to)| Element::verdict(key, Verdict::Goto(name(CHAINS[to]))))
            .boxed(),
        // Apart or the same: Linux answers a partial overlap differently from version to version.
        3 => (1..6u16)
            .prop_map(|tens| {
                Element::new([Value::Port(tens * 10)]).to([Value::Port(tens * 10 + 5)])
            })
            .boxed(),
        4 => (key, 1..3u32)
            .prop_map(|([port], mark)| Element::new([port, Value::Mark(mark)]))
            .boxed(),
        _ => key.prop_map(Element::new).boxed(),
    }
}

fn any_elements() -> impl Strategy<Value = Op> {
    (0..4usize, 0..3).prop_flat_map(|(index, kind)| {
        prop::collection::vec(any_element(index), 1..4).prop_map(move |elements| {
            let set = Arc::clone(&sets()[index]);
            match kind {
                0 => Op::AddElements { set, elements },
                1 => Op::CreateElements { set, elements },
                _ => Op::DeleteElements { set, elements },
            }
        })
    })
}

fn any_rule() -> impl Strategy<Value = Op> {
    let rule = (1..4usize, 0..4usize, 0..5, any::<bool>());
    rule.prop_map(|(to, from, kind, insert)| {
        let port = [Field::ThDport];
        let rule = Rule::new().eq(Field::L4Proto, Value::Proto(6));
        let rule = match kind {
            // Not `plain`: made anew with another key it would read registers that nothing wrote, and
            // the fake doesn't know what suits which registers.
            0 => rule.in_set(&port, &name("ranges")),
            // Verdicts lead to the other chains: from one of those it could be a loop, which the fake
            // doesn't know.
            1 if from == 0 => rule.vmap(&port, &name("verdicts")),
            2 => rule.not_in_set(&port, &name("ranges")),
            3 if from < to => rule.verdict(Verdict::Jump(name(CHAINS[to]))),
            _ => rule.counter(),
        };
        let chain = name(CHAINS[from]);
        if insert { Op::InsertRule { chain, rule } } else { Op::AddRule { chain, rule } }
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let policy = select(vec![Policy::Accept, Policy::Drop]);
    let some_chain = || (0..4usize).prop_map(|index| name(CHAINS[index]));
    let some_set = || select(vec!["plain", "pairs", "verdicts", "ranges"]).prop_map(name);
    prop_oneof![
        2 => Just(Op::AddTable),
        1 => Just(Op::DestroyTable),
        1 => Just(Op::DeleteTable),
        10 => (0..4usize, policy).prop_map(|(index, policy)| Op::AddChain(chain(index, policy))),
        2 => some_chain().prop_map(Op::DeleteChain),
        2 => some_chain().prop_map(Op::FlushChain),
        8 => (0..5usize).prop_map(|index| Op::AddSet(Arc::clone(&sets()[index]))),
        2 => some_set().prop_map(Op::DeleteSet),
        2 => some_set().prop_map(Op::FlushSet),
        30 => any_elements(),
        20 => any_rule(),
    ]
}

fn comparable(state: Option<TableState>) -> Option<TableState> {
    state.map(|mut state| {
        state.generation = 0;
        state
            .chains
            .values_mut()
            .flat_map(|chain| &mut chain.rules)
            .for_each(|rule| rule.handle = 0);
        state
    })
}

/// A table with something in it: from nothing, few random batches would get anywhere.
fn furnished() -> Vec<Op> {
    let chains = (0..3).map(|index| Op::AddChain(chain(index, Policy::Accept)));
    let sets = sets().into_iter().take(3).map(Op::AddSet);
    [Op::AddTable].into_iter().chain(chains).chain(sets).collect()
}

/// The first operation refused and how; what Linux says of those after it depends on how it undoes.
fn outcome(result: Result<(), ApplyError>) -> Result<(), (Option<usize>, i32)> {
    match result {
        Ok(()) => Ok(()),
        Err(ApplyError::Refused(refusals)) => Err((refusals[0].index, refusals[0].errno)),
        Err(other) => panic!("{other}"),
    }
}

/// A comparison of nothing but refusals would prove little, and so would one without any.
#[derive(Default)]
struct Tally {
    applied: Cell<u32>,
    refused: Cell<u32>,
}

fn side_by_side(batches: &[Vec<Op>], tally: &Tally) -> Result<(), TestCaseError> {
    let (mut kernel, mut fake) = (Socket::open().unwrap(), FakeNft::new());
    let mut clean = Batch::new(weir());
    kernel.apply(clean.destroy_table()).unwrap();
    for ops in [&furnished()].into_iter().chain(batches) {
        let mut batch = Batch::new(weir());
        for op in ops {
            batch.push(op.clone());
        }
        let (real, faked) = (outcome(kernel.apply(&batch)), outcome(fake.apply(&batch)));
        prop_assert_eq!(real, faked, "kernel left, fake right, of\n{}", batch);
        let counted = if real.is_ok() { &tally.applied } else { &tally.refused };
        counted.set(counted.get() + 1);
        let (real, faked) = (kernel.observe(&weir()).unwrap(), fake.observe(&weir()).unwrap());
        prop_assert_eq!(
            comparable(real),
            comparable(faked),
            "kernel left, fake right, after\n{}",
            batch
        );
    }
    Ok(())
}

#[test]
fn random_batches_end_alike() {
    isolated("random_batches_end_alike", || {
        let batches = prop::collection::vec(prop::collection::vec(any_op(), 1..4), 1..12);
        let config =
            ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
        let tally = Tally::default();
        TestRunner::new(config).run(&batches, |batches| side_by_side(&batches, &tally)).unwrap();
        let (applied, refused) = (tally.applied.get(), tally.refused.get());
        println!("{applied} batches applied, {refused} refused");
        assert!(applied > 300 && refused > 300, "{applied} applied, {refused} refused");
    });
}
