use clap::{CommandFactory as _, Parser as _};

use super::*;

/// The lines of a command's examples, without what a shell does after a `|`.
fn examples(command: &clap::Command, found: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().filter(|line| line.starts_with("  weir "));
    found.extend(lines.map(|line| line.split('|').next().unwrap_or_default().trim().to_owned()));
    for sub in command.get_subcommands() {
        examples(sub, found);
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_example_in_the_help_is_right() {
    let mut found = Vec::new();
    examples(&Cli::command(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for line in found {
        if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn every_command_teaches_by_examples() {
    for command in
        Cli::command().get_subcommands().filter(|command| command.get_name() != "version")
    {
        let mut found = Vec::new();
        examples(command, &mut found);
        assert!(!found.is_empty(), "{}", command.get_name());
    }
}

#[test]
fn the_environment_names_the_node_as_daemon_sets_do() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let name = run.get_arguments().find(|argument| argument.get_id() == "node_name").unwrap();
    assert_eq!(name.get_env(), Some(std::ffi::OsStr::new("NODE_NAME")));
}

#[test]
fn wrong_words_are_refused() {
    let cases = [
        ("weir run --dataplane iptables", "possible values: auto, ipvs, nftables"),
        ("weir run --node-name Node", "expected the name of a Node"),
        ("weir run --policy =x.wasm", "write NAME=FILE"),
        ("weir run --policy a=", "the file's name is empty"),
        ("weir run --policy .wasm/..", "write NAME=FILE"),
        (
            "weir run --fastpath-packet-threshold -1",
            "expected a whole number from 0, which is never",
        ),
        (
            "weir run --fastpath-packet-threshold 4294967296",
            "is not allowed: expected a whole number",
        ),
        ("weir plan --fastpath-packet-threshold never", "`never` is not allowed"),
        ("weir explain web", "expected NAMESPACE/SERVICE"),
        ("weir explain default/web/80", "expected NAMESPACE/SERVICE"),
        ("weir plan --against nothing", "possible values: kernel, empty"),
        ("weir stauts", "'status'"),
        ("weir completion tcsh", "possible values: "),
    ];
    for (line, want) in cases {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err().to_string();
        assert!(error.contains(want), "{line}: {error}");
    }
}

#[test]
fn the_running_daemon_is_asked_only_without_settings_of_ones_own() {
    let cases = [
        ("", Ok(false)),
        ("--manifests d --policy a.wasm", Ok(true)),
        ("--config c --dataplane ipvs", Ok(true)),
        ("--policy a.wasm", Err("--policy changes nothing in the running daemon")),
        ("--dataplane ipvs", Err("--dataplane changes nothing")),
        ("--fastpath-packet-threshold 0", Err("--fastpath-packet-threshold changes nothing")),
        ("--node-name other", Err("--node-name changes nothing")),
    ];
    for (flags, want) in cases {
        let line = format!("weir explain shop/web {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Explain(args) = cli.command else { panic!("{line}") };
        let got = args.source.is_offline().map_err(|error| error.to_string());
        match (got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{line}"),
            (Err(got), Err(want)) => assert!(got.contains(want), "{line}: {got}"),
            (got, want) => panic!("{line}: {got:?}, not {want:?}"),
        }
    }
}

#[test]
fn completion_knows_every_command() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
    {
        let mut script = Vec::new();
        completion(shell, &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let mut page = Vec::new();
    man(None, &mut page).unwrap();
    assert!(String::from_utf8(page).unwrap().contains("Examples:"));
    let folder = tempfile::tempdir().unwrap();
    man(Some(&folder.path().join("man1")), &mut Vec::new()).unwrap();
    for name in ["weir.1", "weir-run.1", "weir-cleanup.1", "weir-config-check.1"] {
        let page = std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
}
