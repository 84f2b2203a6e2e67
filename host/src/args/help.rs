//! Examples at the end of each command's help. A test parses every line of them.

pub(super) const WEIR: &str = "\
Examples:
  weir doctor
  weir plan --manifests ./manifests --against empty
  weir run --manifests ./manifests --node-name node-1

`weir COMMAND --help` shows examples of each command.";

pub(super) const RUN: &str = "\
Examples:
  # Serve what a folder of manifests says; no policy, so every service is balanced as by kube-proxy
  weir run --manifests ./manifests --node-name node-1

  # Ask two policies, the first one first
  weir run --manifests ./manifests --policy annotations.wasm --policy mine=./least_conn.wasm

  # Take over a node's kube-proxy configuration; what isn't honoured is logged by name
  weir run --config /var/lib/kube-proxy/config.conf --manifests ./manifests --dataplane ipvs

  # Offload a flow after 100 packets, unless a policy says otherwise; kube-proxy's flag of this name
  weir run --config weir.yaml --fastpath-packet-threshold 100

  # Show what would be in force
  weir run --config weir.yaml --write-config-to /dev/stdout

SIGHUP does what `weir sync` does. The configuration is read again when its file changes, and then too. SIGTERM stops the daemon and leaves traffic running.
A flag beats the configuration file. NODE_NAME in the environment stands for --node-name.";

pub(super) const PLAN: &str = "\
Examples:
  # All that these manifests need, from nothing; needs no privilege
  weir plan --manifests ./manifests --node-name node-1 --against empty

  # What `weir run` would change on this node now
  weir plan --config /etc/weir/weir.yaml

  # For a script
  weir plan --config /etc/weir/weir.yaml --output json";

pub(super) const EXPLAIN: &str = "\
Examples:
  # What the running daemon decided: each policy's answer, what was set aside and why, the
  # endpoints and the kernel objects
  weir explain default/web

  # The same worked out anew, without the daemon and without the kernel
  weir explain default/web --manifests ./manifests --policy annotations.wasm --output json";

pub(super) const DOCTOR: &str = "\
Examples:
  weir doctor
  weir doctor --config /etc/weir/weir.yaml --output json

Exits 1 if something is missing that the configuration needs.";

pub(super) const STATUS: &str = "\
Examples:
  weir status
  weir status --output json";

pub(super) const BUGREPORT: &str = "\
Examples:
  weir bugreport

  # Where the daemon doesn't run, with the configuration that it would have
  weir bugreport /tmp/node-1.tar.gz --config /etc/weir/weir.yaml

  # Out of a pod, whose root is read-only
  kubectl -n weir-system exec POD -c weir -- weir bugreport - > node-1.tar.gz

Changes nothing. README.txt in the archive says what is in it, what was left out on purpose
(annotations, labels, tokens, passwords, keys) and what could not be had. Look through it before you
show it to others: names and addresses are in it.";

pub(super) const CLEANUP: &str = "\
Examples:
  # After the daemon was stopped for good
  weir cleanup

  # Keep virtual services and their addresses, so that balanced traffic goes on
  weir cleanup --keep-ipvs

Exits 1 if anything of weir's remained. What others made is never touched.";

pub(super) const SYNC: &str = "\
Examples:
  weir sync
  weir sync --run-dir /run/weir

Looks at the files of manifests and policies and at the kernel, and tries again at once what the
kernel had refused. Exits 1 if anything is still refused, with words.";

pub(super) const LOG_LEVEL: &str = "\
Examples:
  # What is logged now
  weir log-level

  # Every planned operation too, and back
  weir log-level debug
  weir log-level info

Prints the level in force. The configuration and --log-level hold again after the next start.";

pub(super) const INIT: &str = "\
Examples:
  # Make ready what `weir run` needs and can't do itself with CAP_NET_ADMIN alone
  weir init

  # With the sysctls and the folders that a configuration asks for
  weir init --config /etc/weir/weir.yaml

  # Start the daemon even on a node where something can't be set
  weir init --config /etc/weir/weir.yaml --warn-only

Makes the run folder and the cache folder, lets the kernel load its modules (and loads them from
/lib/modules where it doesn't), and sets the sysctls that differ. Says what it did; the second time
that is nothing. Exits 1 if something stays wrong, and names it.";

pub(super) const CONFIG: &str = "\
Examples:
  # Every error at once, each with file, line and field
  weir config check /etc/weir/weir.yaml

  # From kube-proxy's file to weir's
  weir config convert /var/lib/kube-proxy/config.conf

  # What is in force with these flags
  weir config show --config /etc/weir/weir.yaml --dataplane nftables

  # For an editor that checks YAML against a schema
  weir config schema";

pub(super) const MIGRATE: &str = "\
Examples:
  # The configuration as a file, and what to know and to do as text
  weir migrate --from-kube-proxy /var/lib/kube-proxy/config.conf --out weir.yaml

  # From the ConfigMap of a cluster that kubeadm made
  kubectl -n kube-system get configmap kube-proxy -o yaml | weir migrate --from-kube-proxy - --out weir.yaml

  # For a script
  weir migrate --from-kube-proxy configmap.yaml --output json | jq '.settings[] | select(.outcome == \"not-yet\")'

Reads files only: no kernel, no cluster. Exits 1 if the configuration is one that kube-proxy would refuse.";

pub(super) const COMPLETION: &str = "\
Examples:
  weir completion bash
  weir completion zsh
  weir completion fish

For bash, in this shell: source <(weir completion bash)";

pub(super) const MAN: &str = "\
Examples:
  weir man
  weir man /usr/local/share/man/man1

To read it at once: weir man | man -l -";

pub(super) const POLICY: &str = "\
Examples:
  # A crate of your own, built into a component
  weir policy new sticky
  weir policy build sticky --out sticky.wasm

  # What a component imports and exports, and what it would decide
  weir policy check sticky.wasm --manifests ./manifests";
