//! The server that a demo leaves running: noted in `build/demo-server`, so that the next command finds it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use trickle_regress::cluster::signal;
use trickle_regress::installation::project;
use trickle_regress::{wait_until, Cluster};

fn note() -> PathBuf {
    project().join("build/demo-server")
}

/// The noted folder and the server's process in it, if that still runs.
fn noted() -> Option<(PathBuf, Option<u32>)> {
    let folder = PathBuf::from(std::fs::read_to_string(note()).ok()?.trim_end());
    let pid = std::fs::read_to_string(folder.join("data/postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().next()?.parse().ok())
        .filter(|pid: &u32| Path::new(&format!("/proc/{pid}")).exists());
    Some((folder, pid))
}

pub fn running() -> bool {
    noted().is_some_and(|(_, pid)| pid.is_some())
}

/// Leaves the server to the user, and says how to look around in it.
pub fn leave(cluster: Cluster, database: &str) {
    let folder = cluster.folder().to_owned();
    std::fs::write(note(), folder.to_str().expect("a path in UTF-8")).expect("build/ can be written");
    let psql = cluster.installation().bindir().join("psql");
    let psql = if psql.exists() { psql.display().to_string() } else { "psql".into() };
    drop(cluster.leave_running());
    println!("\nthe server is still there, until `make demo-stop`. To look around:\n");
    println!("    {psql} -h {} -U postgres {database}", folder.display());
    println!("\n    SELECT * FROM league ORDER BY late_percent;");
    println!("    SELECT * FROM pgtrickle.stream_table_status();");
}

/// Stops the noted server and removes what it has left.
pub fn stop() -> ExitCode {
    let Some((folder, pid)) = noted() else {
        println!("demo: no server of a demo is here");
        return ExitCode::SUCCESS;
    };
    if let Some(pid) = pid {
        signal(pid, "INT");
        wait_until("the server has stopped", || !folder.join("data/postmaster.pid").exists());
    }
    for gone in [std::fs::remove_dir_all(&folder), std::fs::remove_file(note())] {
        if let Err(error) = gone.as_ref() {
            if error.kind() != std::io::ErrorKind::NotFound {
                eprintln!("demo: could not remove {}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
        }
    }
    println!("demo: the server is stopped");
    ExitCode::SUCCESS
}
