//! PromQL as far as the alerts use it, at one moment. Prometheus itself extrapolates rates to the edges of
//! their range; here they are what the samples say.

use std::collections::BTreeMap;

use promql_parser::parser::token::{self, TokenType};
use promql_parser::parser::{Call, Expr, VectorSelector, parse};

/// Label names and values, without the metric's name.
pub(super) type Labels = BTreeMap<String, String>;

/// One series: its name, its labels, and its values a minute apart, the last of them now.
pub(super) struct Series {
    name: String,
    labels: Labels,
    values: Vec<f64>,
}

impl Series {
    /// `up{job="weir"}` and its values.
    pub(super) fn new(text: &str, values: &[f64]) -> Self {
        let Ok(Expr::VectorSelector(it)) = parse(text) else { panic!("no series: {text}") };
        let labels = it.matchers.matchers.iter().map(|it| (it.name.clone(), it.value.clone()));
        Self { name: it.name.unwrap(), labels: labels.collect(), values: values.to_vec() }
    }
}

/// A minute is between two samples.
const STEP: f64 = 60.0;

#[derive(Clone, Debug)]
enum Value {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

/// What an alert's expression leaves: the labels of what it fires for.
pub(super) fn firing(expr: &str, all: &[Series]) -> Vec<Labels> {
    shown(expr, all).into_iter().map(|(labels, _)| labels).collect()
}

/// What a panel with this expression shows.
pub(super) fn shown(expr: &str, all: &[Series]) -> Vec<(Labels, f64)> {
    let it = Evaluation { all, now: 1_700_000_000.0 };
    it.vector(&parse(expr).unwrap())
}

struct Evaluation<'a> {
    all: &'a [Series],
    now: f64,
}

impl Evaluation<'_> {
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::NumberLiteral(it) => Value::Scalar(it.val),
            Expr::Paren(it) => self.value(&it.expr),
            Expr::VectorSelector(it) => {
                Value::Vector(self.select(it, |values| values.last().copied()))
            }
            Expr::Binary(it) => combine(it.op, &self.value(&it.lhs), &self.value(&it.rhs)),
            Expr::Aggregate(it) if it.op.id() == token::T_SUM => {
                let by = it.modifier.as_ref().map(|by| by.labels().labels.clone());
                let by = by.unwrap_or_default();
                let mut sums: BTreeMap<Labels, f64> = BTreeMap::new();
                for (labels, value) in self.vector(&it.expr) {
                    let kept = labels.into_iter().filter(|(name, _)| by.contains(name)).collect();
                    *sums.entry(kept).or_default() += value;
                }
                Value::Vector(sums.into_iter().collect())
            }
            Expr::Call(it) => self.call(it),
            other => panic!("not evaluated: {other}"),
        }
    }

    fn vector(&self, expr: &Expr) -> Vec<(Labels, f64)> {
        let Value::Vector(found) = self.value(expr) else { panic!("no vector: {expr}") };
        found
    }

    fn select(
        &self,
        selector: &VectorSelector,
        of: impl Fn(&[f64]) -> Option<f64>,
    ) -> Vec<(Labels, f64)> {
        let name = selector.name.as_ref().unwrap();
        let fits = |series: &&Series| {
            let value = |name: &str| series.labels.get(name).map_or("", String::as_str);
            let mut matchers = selector.matchers.matchers.iter();
            series.name == *name && matchers.all(|it| it.is_match(value(&it.name)))
        };
        let found = self.all.iter().filter(fits);
        found.filter_map(|it| Some((it.labels.clone(), of(&it.values)?))).collect()
    }

    fn call(&self, call: &Call) -> Value {
        let args = &call.args.args;
        if call.func.name == "time" {
            return Value::Scalar(self.now);
        }
        if call.func.name == "histogram_quantile" {
            let Expr::NumberLiteral(quantile) = &*args[0] else { panic!("a number comes first") };
            return Value::Vector(quantiles(quantile.val, self.vector(&args[1])));
        }
        let Expr::MatrixSelector(it) = &*args[0] else { panic!("not evaluated: {call}") };
        let range = it.range.as_secs_f64();
        let over: fn(&[f64], f64) -> f64 = match call.func.name {
            "rate" => |values, range| grown(values) / range,
            "increase" => |values, _| grown(values),
            "changes" => |values, _| values.windows(2).filter(|it| it[0] != it[1]).count() as f64,
            "max_over_time" => |values, _| values.iter().copied().fold(f64::MIN, f64::max),
            other => panic!("not evaluated: {other}"),
        };
        let within = (range / STEP) as usize + 1;
        Value::Vector(self.select(&it.vs, |values| {
            let values = &values[values.len().saturating_sub(within)..];
            (values.len() > 1).then(|| over(values, range))
        }))
    }
}

/// By how much a counter grew; one that falls began anew.
fn grown(values: &[f64]) -> f64 {
    values.windows(2).map(|it| if it[1] < it[0] { it[1] } else { it[1] - it[0] }).sum()
}

/// The upper bound of the bucket in which a quantile lies: as coarse as the buckets are.
fn quantiles(quantile: f64, buckets: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut by_rest: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (mut labels, count) in buckets {
        let le = labels.remove("le").unwrap();
        let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
        by_rest.entry(labels).or_default().push((le, count));
    }
    let of_one = |(labels, mut buckets): (Labels, Vec<(f64, f64)>)| {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = quantile * buckets.last()?.1;
        let (le, _) = buckets.into_iter().find(|(_, count)| *count >= wanted && *count > 0.0)?;
        Some((labels, le))
    };
    by_rest.into_iter().filter_map(of_one).collect()
}

fn combine(op: TokenType, left: &Value, right: &Value) -> Value {
    let id = op.id();
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(arithmetic(id, *a, *b)),
        (Value::Vector(all), Value::Scalar(b)) => Value::Vector(
            all.iter().filter_map(|(l, a)| Some((l.clone(), one(id, *a, *b)?))).collect(),
        ),
        (Value::Scalar(a), Value::Vector(all)) => Value::Vector(
            all.iter().filter_map(|(l, b)| Some((l.clone(), one(id, *a, *b)?))).collect(),
        ),
        (Value::Vector(left), Value::Vector(right)) => {
            let right: BTreeMap<&Labels, f64> = right.iter().map(|(l, v)| (l, *v)).collect();
            if id == token::T_LUNLESS {
                let lone = left.iter().filter(|(labels, _)| !right.contains_key(labels));
                return Value::Vector(lone.cloned().collect());
            }
            let matched = left.iter().filter_map(|(labels, a)| {
                let b = right.get(labels)?;
                let value = if id == token::T_LAND { *a } else { one(id, *a, *b)? };
                Some((labels.clone(), value))
            });
            Value::Vector(matched.collect())
        }
    }
}

/// A comparison keeps its left side or drops the sample; anything else is arithmetic.
fn one(id: token::TokenId, a: f64, b: f64) -> Option<f64> {
    let kept = match id {
        token::T_GTR => a > b,
        token::T_LSS => a < b,
        token::T_EQLC => a == b,
        _ => return Some(arithmetic(id, a, b)),
    };
    kept.then_some(a)
}

fn arithmetic(id: token::TokenId, a: f64, b: f64) -> f64 {
    match id {
        token::T_ADD => a + b,
        token::T_SUB => a - b,
        token::T_MUL => a * b,
        token::T_DIV => a / b,
        other => panic!("not evaluated: operator {other}"),
    }
}
