//! PromQL, as far as it is looked through: which metrics an expression names, and which labels of them.

use std::collections::BTreeSet;

use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};

/// One metric in an expression, with every label that is asked of it there or around it.
pub(super) struct Used {
    pub(super) metric: String,
    pub(super) labels: BTreeSet<String>,
}

/// The metrics of an expression; Grafana's variables are filled in first.
pub(super) fn uses(name: &str, text: &str) -> Vec<Used> {
    let text =
        text.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*");
    let parsed = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let mut found = Vec::new();
    walk(&parsed, &BTreeSet::new(), &mut found);
    assert!(!found.is_empty(), "{name}: names no metric: {text}");
    found
}

fn with(around: &BTreeSet<String>, more: Option<&LabelModifier>) -> BTreeSet<String> {
    let more = more.map(|it| it.labels().labels.iter().cloned()).into_iter().flatten();
    around.iter().cloned().chain(more).collect()
}

fn walk(expr: &Expr, around: &BTreeSet<String>, found: &mut Vec<Used>) {
    match expr {
        Expr::Aggregate(it) => {
            let around = with(around, it.modifier.as_ref());
            walk(&it.expr, &around, found);
        }
        Expr::Binary(it) => {
            let around = with(around, it.modifier.as_ref().and_then(|it| it.matching.as_ref()));
            walk(&it.lhs, &around, found);
            walk(&it.rhs, &around, found);
        }
        Expr::Unary(it) => walk(&it.expr, around, found),
        Expr::Paren(it) => walk(&it.expr, around, found),
        Expr::Subquery(it) => walk(&it.expr, around, found),
        Expr::Call(it) => it.args.args.iter().for_each(|arg| walk(arg, around, found)),
        Expr::VectorSelector(it) => found.push(selected(it, around)),
        Expr::MatrixSelector(it) => found.push(selected(&it.vs, around)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        other => panic!("not looked through: {other}"),
    }
}

fn selected(selector: &VectorSelector, around: &BTreeSet<String>) -> Used {
    let own = selector.matchers.matchers.iter().map(|it| it.name.clone());
    Used {
        metric: selector.name.clone().expect("a selector names its metric"),
        labels: around.iter().cloned().chain(own).collect(),
    }
}
