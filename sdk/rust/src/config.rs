//! What the operator wrote for a policy: names with values.

use std::fmt::Display;
use std::str::FromStr;

use crate::values::quoted;
use crate::{Attributes, json, values};

/// The policy's configuration, each name once.
///
/// ```
/// let config = weir_policy::Config::from([("packets", "16"), ("shop", "8")]);
/// assert_eq!(config.get("shop"), Some("8"));
/// assert_eq!(config.parse("packets"), Ok(Some(16u32)));
/// assert_eq!(config.parse::<u8>("absent"), Ok(None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(Vec<(String, String)>);

impl Config {
    pub(crate) fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        Self(pairs)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.value(name)
    }

    /// All names with their values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a name as a number, a flag, an address, …
    ///
    /// # Errors
    /// Words for the operator when the value is something else.
    pub fn parse<T>(&self, name: &str) -> Result<Option<T>, String>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|e| format!("{name}: {text:?}: {e}"))
    }

    /// The value of a name as a list: a YAML list of texts, or a text with commas between them.
    ///
    /// ```
    /// let config = weir_policy::Config::from([("a", "x, y"), ("b", "[\"x\",\"y\"]"), ("c", "[]")]);
    /// assert_eq!(config.list("a"), config.list("b"));
    /// assert_eq!(config.list("c"), Ok(Some(vec![])));
    /// assert_eq!(config.list("absent"), Ok(None));
    /// ```
    ///
    /// # Errors
    /// Words for the operator when the value is something else.
    pub fn list(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let Some(text) = self.get(name).map(str::trim) else { return Ok(None) };
        // YAML's null, lists and maps come as JSON.
        if text == "null" || text.starts_with(['[', '{']) {
            let wrong = || format!("{name}: {} is not a list of texts", quoted(text));
            return json::texts(text).map(Some).ok_or_else(wrong);
        }
        Ok(Some(values::list(text).map(str::to_owned).collect()))
    }

    /// Refuses names that the policy doesn't know: most often they are misspelt.
    ///
    /// # Errors
    /// Words for the operator that name the first unknown name and the known ones.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) if known.is_empty() => {
                Err(format!("unknown name {name}: there are none"))
            }
            Some((name, _)) => Err(format!("unknown name {name}: known are {}", known.join(", "))),
            None => Ok(()),
        }
    }
}

impl FromIterator<(String, String)> for Config {
    /// For tests with settings that they put together; of a name given twice, either may count.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Config {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_bad_values_are_named() {
        let config = Config::from([("packets", "many"), ("pakets", "1")]);
        let error = config.only(&["packets"]).unwrap_err();
        assert_eq!(error, "unknown name pakets: known are packets");
        let error = config.parse::<u32>("packets").unwrap_err();
        assert_eq!(error, "packets: \"many\": invalid digit found in string");
        for text in ["[1, [2]]", "{}", "{\"a\":1}", "null", "[\"a\""] {
            let error = Config::from([("include", text)]).list("include").unwrap_err();
            assert_eq!(error, format!("include: {text:?} is not a list of texts"));
        }
    }
}
