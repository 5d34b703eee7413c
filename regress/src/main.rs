//! Runs pg_regress and pg_isolation_regress on one scratch server with the extension preloaded: `regress/schedule` over
//! `regress/sql`, `regress/isolation_schedule` over `regress/specs`. `--installed` takes the extension as installed.

use std::path::Path;
use std::process::{Command, ExitCode};

use trickle_regress::installation::project;
use trickle_regress::Cluster;

fn main() -> ExitCode {
    let installed = std::env::args().any(|argument| argument == "--installed");
    let mut builder = Cluster::builder().purpose("regress");
    if installed {
        builder = builder.installed();
    }
    let cluster = builder.start();
    let mut good = true;
    for (folder, program, schedule) in
        [("regress", "pg_regress", "schedule"), ("isolation", "pg_isolation_regress", "isolation_schedule")]
    {
        let Some(path) = cluster.installation().test_program(folder, program) else {
            println!("skipped: {program} is not part of this PostgreSQL");
            continue;
        };
        good &= run(&cluster, &path, folder, schedule);
    }
    if good {
        ExitCode::SUCCESS
    } else {
        println!("{}", std::fs::read_to_string(cluster.folder().join("log")).unwrap_or_default());
        ExitCode::FAILURE
    }
}

fn run(cluster: &Cluster, program: &Path, purpose: &str, schedule: &str) -> bool {
    let input = project().join("regress");
    let output = project().join("build/regress").join(purpose);
    std::fs::create_dir_all(&output).expect("build/regress can be written");
    let status = Command::new(program)
        .arg(format!("--bindir={}", cluster.installation().bindir().display()))
        .arg(format!("--host={}", cluster.folder().display()))
        .args(["--port=5432", "--user=postgres"])
        .arg(format!("--inputdir={}", input.display()))
        .arg(format!("--outputdir={}", output.display()))
        .arg(format!("--schedule={}", input.join(schedule).display()))
        .arg(format!("--dbname={purpose}_regression"))
        .args((purpose == "isolation").then_some("--load-extension=pg_trickle"))
        .env_remove("RUST_BACKTRACE")
        .status();
    let good = status.is_ok_and(|status| status.success());
    if !good {
        let diffs = std::fs::read_to_string(output.join("regression.diffs")).unwrap_or_default();
        println!("{}", &diffs[..diffs.len().min(40_000)]);
    }
    good
}
