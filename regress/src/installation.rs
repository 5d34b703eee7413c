//! Which PostgreSQL the harness runs, with which build of the extension, and as whom.
//!
//! The extension is not installed into the server: the server takes it from the stage folder (`TRICKLE_STAGE`, by
//! default `build/stage`) by `extension_control_path` and `dynamic_library_path`, so that an installed PostgreSQL stays
//! as it is. As root, the server runs as user `postgres`; if that user cannot enter the project's folder, server and
//! stage are copied to a temporary folder that it can enter.

use std::ffi::OsStr;
use std::os::unix::fs::{chown, DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

/// The user that the server runs as, where that is not ourselves.
#[derive(Clone, Copy, Debug)]
struct ServerUser {
    uid: u32,
    gid: u32,
}

/// A PostgreSQL with the extension beside it.
#[derive(Debug)]
pub struct Installation {
    bindir: PathBuf,
    pgxs: PathBuf,
    /// Where the extension was staged; none if it is installed in this PostgreSQL.
    stage: Option<PathBuf>,
    user: Option<ServerUser>,
}

impl Installation {
    /// The staged build, found once a process.
    pub fn staged() -> &'static Installation {
        static FOUND: OnceLock<Installation> = OnceLock::new();
        FOUND.get_or_init(|| {
            let stage = match std::env::var_os("TRICKLE_STAGE") {
                Some(stage) => project().join(stage),
                None => project().join("build/stage"),
            };
            Installation::find(Some(stage))
        })
    }

    /// The PostgreSQL of `PG_CONFIG` with the extension as it is installed there.
    pub fn installed() -> &'static Installation {
        static FOUND: OnceLock<Installation> = OnceLock::new();
        FOUND.get_or_init(|| Installation::find(None))
    }

    fn find(stage: Option<PathBuf>) -> Installation {
        let config = ["PG_CONFIG", "PGRX_PG_CONFIG_PATH"]
            .iter()
            .filter_map(std::env::var_os)
            .find(|path| !path.is_empty())
            .expect("PG_CONFIG is set: run by make, or after `. build/toolchain.env`");
        let config = PathBuf::from(config);
        let user = server_user();
        let mut found = Installation {
            bindir: asked(&config, "--bindir"),
            pgxs: asked(&config, "--pgxs").parent().and_then(Path::parent).expect("the folder of pgxs.mk").to_owned(),
            stage,
            user,
        };
        if !found.server_can_enter() {
            found.copy_to_where_the_server_can();
        }
        found
    }

    /// A program of this PostgreSQL, run by the server's user in `folder`.
    pub fn server_command(&self, program: &str, folder: &Path) -> Command {
        self.as_server_user(self.bindir.join(program), folder)
    }

    /// A client program of this PostgreSQL, run by ourselves.
    pub fn client_command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bindir.join(program));
        without_surroundings(&mut command);
        command
    }

    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// `pg_regress` or `pg_isolation_regress`, if this PostgreSQL has it.
    pub fn test_program(&self, folder: &str, program: &str) -> Option<PathBuf> {
        let path = self.pgxs.join("test").join(folder).join(program);
        path.exists().then_some(path)
    }

    /// The settings by which a server finds the staged extension.
    pub fn settings(&self) -> Vec<(String, String)> {
        let Some(stage) = &self.stage else { return Vec::new() };
        vec![
            ("extension_control_path".into(), format!("{}:$system", stage.join("share").display())),
            ("dynamic_library_path".into(), format!("{}:$libdir", stage.join("lib").display())),
        ]
    }

    /// A new folder, entered by everyone and written by the server.
    pub fn scratch(&self, purpose: &str) -> PathBuf {
        static MADE: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("{purpose}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
            let folder = self.scratch_base().join(name);
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    self.give(&folder, 0o755);
                    return folder;
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => panic!("could not create folder {}: {error}", folder.display()),
            }
        }
    }

    /// The project's build folder where a server can live in it, else the system's temporary folder. A socket's path
    /// must fit into 107 bytes.
    fn scratch_base(&self) -> PathBuf {
        let inside = project().join("build/run");
        if inside.as_os_str().len() < 60 {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&inside).expect("build/run can be created");
            if self.server_test("-x", &inside) {
                return inside;
            }
        }
        std::env::temp_dir()
    }

    /// Hands a path to the server's user.
    pub fn give(&self, path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions can be set");
        if let Some(user) = self.user {
            chown(path, Some(user.uid), Some(user.gid)).expect("root can change the owner");
        }
    }

    fn as_server_user(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        without_surroundings(&mut command);
        command.current_dir(folder).env("HOME", folder);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn server_test(&self, flag: &str, path: &Path) -> bool {
        let status = self.as_server_user("/usr/bin/test", Path::new("/")).arg(flag).arg(path).status();
        status.is_ok_and(|status| status.success())
    }

    fn server_can_enter(&self) -> bool {
        let stage = self.stage.as_ref();
        self.server_test("-x", &self.bindir.join("postgres"))
            && stage.is_none_or(|stage| self.server_test("-r", &stage.join("lib/pg_trickle.so")))
    }

    /// Copies the stage, and PostgreSQL where it lies in the build folder, to a temporary folder that is used again by
    /// later runs. Files go in under new inodes: a server of an earlier run may have the old ones mapped.
    fn copy_to_where_the_server_can(&mut self) {
        let note = project().join("build/server-copy");
        let copy = match std::fs::read_to_string(&note).map(|path| PathBuf::from(path.trim_end())) {
            Ok(copy) if copy.metadata().is_ok_and(|found| found.is_dir() && found.uid() == our_uid()) => copy,
            _ => {
                let copy = std::env::temp_dir().join(format!("pg_trickle-server-{}", std::process::id()));
                std::fs::create_dir(&copy).expect("a new folder can be made in the temporary folder");
                std::fs::write(&note, copy.to_str().expect("a path in UTF-8")).expect("build/ can be written");
                copy
            }
        };
        let copied = |from: &Path| -> PathBuf {
            let to = copy.join(from.file_name().expect("a folder with a name"));
            let done = Command::new("cp").args(["-aTu", "--remove-destination"]).arg(from).arg(&to).status();
            assert!(done.is_ok_and(|status| status.success()), "could not copy {} to {}", from.display(), to.display());
            to
        };
        let wheel = project().join("build/pg");
        if let Ok(inside) = self.bindir.strip_prefix(&wheel) {
            let inside = inside.to_owned();
            let pgxs = self.pgxs.strip_prefix(&wheel).expect("pgxs beside bin").to_owned();
            let to = copied(&wheel);
            (self.bindir, self.pgxs) = (to.join(inside), to.join(pgxs));
        }
        if let Some(stage) = &mut self.stage {
            *stage = copied(stage);
        }
        let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(&copy).status();
        assert!(opened.is_ok_and(|status| status.success()), "could not open {} to the server", copy.display());
        assert!(
            self.server_can_enter(),
            "the server's user cannot enter {}: use a PostgreSQL that it can enter",
            self.bindir.display()
        );
    }
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate")
}

/// A server or a client must not inherit what steers ours: PG* variables, backtraces in error details, translations.
fn without_surroundings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_BACKTRACE").env_remove("LANG").env("LC_ALL", "C").env("TZ", "UTC");
}

fn our_uid() -> u32 {
    std::fs::metadata("/proc/self").expect("/proc is mounted").uid()
}

fn server_user() -> Option<ServerUser> {
    if our_uid() != 0 {
        return None;
    }
    let number = |flag: &str| -> Option<u32> {
        let told = Command::new("id").args([flag, "postgres"]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    };
    if number("-u").is_none() {
        let arguments = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "postgres"];
        let made = Command::new("useradd").args(arguments).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "a server cannot run as root: create a user postgres (useradd is missing or failed)"
        );
    }
    let (Some(uid), Some(gid)) = (number("-u"), number("-g")) else { panic!("user postgres has no uid") };
    Some(ServerUser { uid, gid })
}

fn asked(config: &Path, what: &str) -> PathBuf {
    let told = Command::new(config).arg(what).output();
    let told = told.unwrap_or_else(|error| panic!("could not run {}: {error}", config.display()));
    PathBuf::from(String::from_utf8(told.stdout).expect("a path in UTF-8").trim_end())
}
