//! Scratch servers: made, preloaded, started, killed, and always cleaned up.
//!
//! A cluster lives in a folder of its own with a socket and no port. It ends with the value: stopped by its own pid, its
//! folder removed, its log shown if the test failed. Should the test process itself be killed, a small watcher, which
//! sees its standard input close, does the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::installation::{project, Installation};
use crate::session::{wait_until, Session};

/// The locale of a cluster's databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locale {
    /// The builtin provider's C.UTF-8: what a cluster has unless asked otherwise.
    Builtin,
    C,
    /// A locale of the C library, made in the build folder: `Libc("de_DE")`.
    Libc(&'static str),
}

impl Locale {
    /// Makes a locale of the C library below the build folder. None if this machine has no `localedef` or no sources.
    pub fn libc(name: &'static str) -> Option<Locale> {
        let folder = locales();
        let made = folder.join(format!("{name}.UTF-8"));
        if !made.exists() {
            std::fs::create_dir_all(&folder).ok()?;
            let done = Command::new("localedef")
                .args(["-f", "UTF-8", "-i", name, "--no-archive"])
                .arg(&made)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !done.is_ok_and(|status| status.success()) {
                return None;
            }
        }
        Some(Locale::Libc(name))
    }

    fn arguments(&self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Locale::Builtin => &["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"],
            Locale::C => &["--locale-provider=libc", "--locale=C"],
            Locale::Libc(name) => return vec!["--locale-provider=libc".into(), format!("--locale={name}.UTF-8")],
        };
        arguments.iter().map(|argument| argument.to_string()).collect()
    }
}

fn locales() -> PathBuf {
    project().join("build/locales")
}

/// How a cluster shall be, before it is.
pub struct Builder {
    installation: &'static Installation,
    locale: Locale,
    settings: Vec<(String, String)>,
    purpose: String,
}

impl Builder {
    pub fn locale(mut self, locale: Locale) -> Builder {
        self.locale = locale;
        self
    }

    /// A setting of postgresql.conf; the last one given counts.
    pub fn set(mut self, name: &str, value: &str) -> Builder {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The first word of the folder's name.
    pub fn purpose(mut self, purpose: &str) -> Builder {
        self.purpose = purpose.into();
        self
    }

    /// Takes the extension as it is installed, not as it is staged.
    pub fn installed(mut self) -> Builder {
        self.installation = Installation::installed();
        self
    }

    pub fn start(self) -> Cluster {
        let folder = self.installation.scratch(&self.purpose);
        let template = template(self.installation, &self.locale);
        let copied = Command::new("cp").arg("-a").arg(&template).arg(folder.join("data")).status();
        assert!(copied.is_ok_and(|status| status.success()), "could not copy the template cluster");

        let mut settings: Vec<(String, String)> = [
            ("listen_addresses", ""),
            ("unix_socket_directories", folder.to_str().expect("a path in UTF-8")),
            ("shared_preload_libraries", "pg_trickle"),
            ("max_connections", "60"),
            ("max_worker_processes", "24"),
            ("max_prepared_transactions", "20"),
            ("wal_level", "logical"),
            ("shared_buffers", "64MB"),
            ("fsync", "off"),
            ("log_line_prefix", "%m [%p] %b %q%a "),
            ("log_min_messages", "info"),
            ("timezone", "UTC"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec();
        settings.extend(self.installation.settings());
        settings.extend(self.settings);
        let text: String =
            settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
        let conf = folder.join("data/postgresql.auto.conf");
        std::fs::write(&conf, text).expect("settings can be written");
        self.installation.give(&conf, 0o600);

        let watcher = watcher(&folder);
        let mut cluster = Cluster { installation: self.installation, folder, server: None, watcher: Some(watcher) };
        cluster.start();
        cluster
    }
}

/// A running (or stopped) scratch server.
pub struct Cluster {
    installation: &'static Installation,
    folder: PathBuf,
    server: Option<Child>,
    watcher: Option<Child>,
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder {
            installation: Installation::staged(),
            locale: Locale::Builtin,
            settings: Vec::new(),
            purpose: "cluster".into(),
        }
    }

    /// A cluster with all defaults, its database `postgres` with the extension in it.
    pub fn with_extension() -> Cluster {
        let cluster = Cluster::builder().start();
        cluster.session().run("CREATE EXTENSION pg_trickle");
        cluster
    }

    pub fn installation(&self) -> &'static Installation {
        self.installation
    }

    /// The folder with the socket, for `host=`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// The server's log from an offset in bytes.
    pub fn log_from(&self, offset: u64) -> String {
        use std::io::{Read, Seek, SeekFrom};
        let read = || {
            let mut file = std::fs::File::open(self.folder.join("log"))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        // Bytes that are no text count as they are in the offset.
        read().unwrap_or_default().iter().map(|byte| if byte.is_ascii() { *byte as char } else { '?' }).collect()
    }

    /// A superuser's session in database `postgres`.
    pub fn session(&self) -> Session {
        self.session_as("postgres", "postgres")
    }

    pub fn session_as(&self, user: &str, database: &str) -> Session {
        match Session::connect(&self.folder, user, database) {
            Ok(session) => session,
            Err(error) => panic!("could not connect to {database} as {user}: {error}\n{}", self.log_tail()),
        }
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("the log can be written");
        let errors = log.try_clone().expect("a file can be cloned");
        let server = self
            .installation
            .server_command("postgres", &self.folder)
            .arg("-D")
            .arg(self.folder.join("data"))
            .env("LOCPATH", locales())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        self.server = Some(server.expect("postgres can be run"));
        self.wait_for_connections();
    }

    fn wait_for_connections(&mut self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while Session::connect(&self.folder, "postgres", "postgres").is_err() {
            let ended = self.server.as_mut().map(|server| server.try_wait().expect("a child can be waited for"));
            if let Some(Some(status)) = ended {
                self.server = None;
                panic!("the server did not start: {status}\n{}", self.log_tail());
            }
            assert!(std::time::Instant::now() < deadline, "the server does not answer\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fast shutdown, which must not take long: a worker that does not answer would hold it up.
    pub fn stop(&mut self) {
        self.signal_and_wait("INT", Duration::from_secs(60));
    }

    /// Immediate shutdown: no checkpoint, recovery at the next start.
    pub fn stop_immediately(&mut self) {
        self.signal_and_wait("QUIT", Duration::from_secs(30));
    }

    /// kill -9 of the postmaster and of every process of it: what a crash of the machine leaves, but for the page cache.
    pub fn kill_server(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let postmaster = server.id();
        let children = children_of(postmaster);
        signal(postmaster, "KILL");
        server.wait().expect("a child can be waited for");
        for child in &children {
            signal(*child, "KILL");
        }
        wait_until("the killed server's processes are gone", || {
            children.iter().all(|child| !Path::new(&format!("/proc/{child}")).exists())
        });
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// kill -9 of one server process, and the wait until the server has recovered from it.
    pub fn kill_process(&mut self, pid: u32) {
        signal(pid, "KILL");
        wait_until("the killed process is gone", || !Path::new(&format!("/proc/{pid}")).exists());
        self.wait_for_connections();
    }

    /// The database worker of a database, once it is there.
    pub fn worker_pid(&self, database: &str) -> u32 {
        let mut pid = None;
        wait_until("the database worker runs", || {
            let asked = Session::connect(&self.folder, "postgres", "postgres").map(|mut session| {
                session.rows(&format!(
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle' AND datname = '{database}'"
                ))
            });
            pid = asked.ok().and_then(|rows| rows.first().and_then(|row| row[0].as_ref()?.parse().ok()));
            pid.is_some()
        });
        pid.expect("waited for")
    }

    /// Leaves the server running when this value goes, and its folder with it.
    pub fn leave_running(mut self) -> Child {
        self.dismiss_watcher();
        self.server.take().expect("a running server")
    }

    fn signal_and_wait(&mut self, name: &str, limit: Duration) {
        let Some(mut server) = self.server.take() else { return };
        signal(server.id(), name);
        let deadline = std::time::Instant::now() + limit;
        while server.try_wait().expect("a child can be waited for").is_none() {
            if std::time::Instant::now() > deadline {
                self.server = Some(server);
                self.kill_server();
                panic!("the server did not stop on SIG{name} in {limit:?}\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("---- the server's log, last lines\n{}\n----", lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    fn dismiss_watcher(&mut self) {
        use std::io::Write;
        let Some(mut watcher) = self.watcher.take() else { return };
        let told = watcher.stdin.take().map(|mut pipe| pipe.write_all(b"done\n"));
        if told.is_some_and(|told| told.is_err()) {
            eprintln!("the watcher of {} has ended before", self.folder.display());
        }
        watcher.wait().expect("a child can be waited for");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let left_running = self.server.is_none() && self.watcher.is_none();
        if left_running {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        if let Some(mut server) = self.server.take() {
            signal(server.id(), "QUIT");
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while matches!(server.try_wait(), Ok(None)) {
                if std::time::Instant::now() > deadline {
                    self.server = Some(server);
                    self.kill_server();
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.dismiss_watcher();
        let log = self.log();
        let leak = |line: &&str| LEAKS.iter().any(|sign| line.contains(sign)) && !leaks_by_itself(line);
        let leaks: Vec<&str> = log.lines().filter(leak).collect();
        if std::env::var_os("TRICKLE_KEEP").is_some() {
            eprintln!("kept: {}", self.folder.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("could not remove {}: {error}", self.folder.display());
        }
        // Whatever the test was about.
        assert!(leaks.is_empty() || std::thread::panicking(), "the server's log tells of leaks:\n{}", leaks.join("\n"));
    }
}

/// PostgreSQL 18's worker of logical replication leaves partitions open that have any row trigger: finish_edata() does not
/// close what AfterTriggerEndQuery() opens.
fn leaks_by_itself(line: &str) -> bool {
    line.contains("logical replication apply worker WARNING:  resource was not closed: relation")
}

/// What PostgreSQL says at the end of a transaction that has left something open, and when an assertion fails.
const LEAKS: [&str; 3] = ["resource was not closed", "TRAP:", "you don't own a lock"];

/// Sends a signal to a process that we started, or that our server did.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "could not run kill");
}

fn children_of(parent: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A process that stops the server and removes its folder when this one dies without a word.
fn watcher(folder: &Path) -> Child {
    let script = r#"read -r word && [ "$word" = done ] && exit
        pid=$(head -1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
        while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -rf "$1""#;
    let started =
        Command::new("setsid").args(["sh", "-c", script, "watcher"]).arg(folder).stdin(Stdio::piped()).spawn();
    started.expect("sh can be run by setsid (util-linux)")
}

/// One initdb a process and locale; clusters are copies of it. Their folders go when the process does.
fn template(installation: &'static Installation, locale: &Locale) -> PathBuf {
    static MADE: Mutex<Option<HashMap<Locale, (PathBuf, Child)>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let made = made.get_or_insert_with(HashMap::new);
    if let Some((template, _)) = made.get(locale) {
        return template.clone();
    }
    let name = format!("template-{locale:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "-").to_lowercase();
    let folder = installation.scratch(&name);
    let data = folder.join("data");
    let output = installation
        .server_command("initdb", &folder)
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"])
        .args(locale.arguments())
        .arg("-D")
        .arg(&data)
        .env("LOCPATH", locales())
        .output()
        .expect("initdb can be run");
    assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    made.insert(locale.clone(), (data.clone(), watcher(&folder)));
    data
}
